//go:build kube

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/redis-observer/redis-observer/test/kit"
)

const (
	apiAt      = "https://127.0.0.1:6443"
	etcdAt     = "http://127.0.0.1:2379"
	adminToken = "administrator"
	servers    = "../../.cache/kube" // test/kube/build.sh builds them
)

// object is one of the API, in the form of JSON.
type object = map[string]any

// cluster is an API server with its storage. Its ports are those that they have by default, so it needs a network namespace of its own.
type cluster struct {
	t      *testing.T
	folder string
	cert   kit.Certificate
	http   http.Client
	api    *kit.Process
}

// mustCluster starts etcd and an API server, until the test ends.
func mustCluster(t *testing.T) *cluster {
	t.Helper()
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if _, err := os.Stat(filepath.Join(servers, name)); err != nil {
			skip(t, "needs etcd and kube-apiserver, which make kube-check builds: "+err.Error())
		}
	}
	c := &cluster{t: t, folder: t.TempDir()}
	var err error
	c.cert, err = kit.NewCertificate(c.folder)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(c.file("tokens"), []byte(adminToken+`,admin,1,"system:masters"`+"\n"), 0o600))
	c.http = http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: c.cert.ClientConfig(), DisableKeepAlives: true}}
	etcd, err := kit.Start(c.command("etcd", "--data-dir="+c.file("etcd"), "--unsafe-no-fsync"), func() bool {
		answer, err := http.Get(etcdAt + "/health")
		return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = etcd.Stop(syscall.SIGKILL) })
	t.Cleanup(func() { _ = c.api.Stop(syscall.SIGKILL) })
	c.mustStart()
	return c
}

func (c *cluster) file(name string) string { return filepath.Join(c.folder, name) }

func (c *cluster) command(name string, arguments ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(servers, name), arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// mustStart starts the API server, also again.
func (c *cluster) mustStart() {
	c.t.Helper()
	var err error
	c.api, err = kit.Start(c.command("kube-apiserver", "--etcd-servers="+etcdAt, "--bind-address=127.0.0.1", "--advertise-address=10.244.0.1",
		"--tls-cert-file="+c.cert.File, "--tls-private-key-file="+c.cert.Key, "--token-auth-file="+c.file("tokens"), "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+c.cert.Key, "--service-account-signing-key-file="+c.cert.Key,
		"--service-cluster-ip-range=10.96.0.0/24",
		"--disable-admission-plugins=ServiceAccount", // nobody makes the default account of a namespace
	), func() bool {
		status, _ := c.ask(http.MethodGet, "/readyz", "", nil)
		return status == http.StatusOK
	})
	require.NoError(c.t, err)
}

// ask makes a request as administrator. The status is 0 if there is no answer.
func (c *cluster) ask(method, path, kind string, body []byte) (status int, answer []byte) {
	request, err := http.NewRequest(method, apiAt+path, bytes.NewReader(body))
	if err != nil {
		return 0, []byte(err.Error())
	}
	request.Header.Set("Authorization", "Bearer "+adminToken)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return response.StatusCode, answer
}

// must makes a request that must succeed, and returns the object that is answered.
func (c *cluster) must(method, path, kind string, body any) object {
	c.t.Helper()
	var text []byte
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		require.NoError(c.t, err)
	}
	status, answer := c.ask(method, path, kind, text)
	require.Less(c.t, status, 300, "%s %s: %s", method, path, answer)
	require.NotZero(c.t, status, "%s %s: %s", method, path, answer)
	var o object
	require.NoError(c.t, json.Unmarshal(answer, &o))
	return o
}

func (c *cluster) mustCreate(path string, o object) object {
	c.t.Helper()
	return c.must(http.MethodPost, path, "application/json", o)
}

// mustPatch changes the fields that are given.
func (c *cluster) mustPatch(path string, fields object) object {
	c.t.Helper()
	return c.must(http.MethodPatch, path, "application/merge-patch+json", fields)
}

// mustDelete deletes an object at once.
func (c *cluster) mustDelete(path string) {
	c.t.Helper()
	c.must(http.MethodDelete, path+"?gracePeriodSeconds=0", "", nil)
}

// pathOf returns where an object is created.
func pathOf(o object, namespace string) string {
	kind, version := strings.ToLower(o["kind"].(string)), o["apiVersion"].(string)
	group := "/apis/" + version
	if version == "v1" {
		group = "/api/v1"
	}
	if !strings.HasPrefix(kind, "cluster") && kind != "namespace" {
		if own, has := o["metadata"].(object)["namespace"].(string); has {
			namespace = own
		}
		group += "/namespaces/" + namespace
	}
	return group + "/" + kind + "s"
}

// mustInstall renders the chart with values, and creates all its objects. It returns the configuration of the observer, and what to delete
// in order to take its rights away and to create again in order to give them back.
func (c *cluster) mustInstall(release, namespace, values string) (configuration string, rights map[string]object) {
	c.t.Helper()
	render := exec.Command("go", "run", "-pgo=off", "./render", "../../deploy/helm/redis-observer", release, namespace)
	render.Dir, render.Stdin = "../deploy", strings.NewReader(values)
	var complaint bytes.Buffer
	render.Stderr = &complaint
	text, err := render.Output()
	require.NoError(c.t, err, "%s", &complaint)
	rights = map[string]object{}
	for documents := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o object
		err := documents.Decode(&o)
		if err == io.EOF {
			return configuration, rights
		}
		require.NoError(c.t, err)
		if o == nil {
			continue
		}
		c.mustCreate(pathOf(o, namespace), o)
		switch kind := o["kind"].(string); {
		case kind == "ConfigMap":
			configuration = o["data"].(object)["observer.yaml"].(string)
		case strings.HasSuffix(kind, "Binding"):
			rights[pathOf(o, namespace)+"/"+o["metadata"].(object)["name"].(string)] = o
		}
	}
}

// mustAccount returns a folder with the files of a service account, as Kubernetes mounts them.
func (c *cluster) mustAccount(namespace, name string) string {
	c.t.Helper()
	token := c.mustCreate("/api/v1/namespaces/"+namespace+"/serviceaccounts/"+name+"/token", object{"spec": object{"expirationSeconds": 3600}})
	folder := c.file("account-" + name)
	require.NoError(c.t, os.Mkdir(folder, 0o755))
	authority, err := os.ReadFile(c.cert.File)
	require.NoError(c.t, err)
	require.NoError(c.t, os.WriteFile(filepath.Join(folder, "ca.crt"), authority, 0o644))
	require.NoError(c.t, os.WriteFile(filepath.Join(folder, "token"), []byte(token["status"].(object)["token"].(string)), 0o644))
	return folder
}

// mustService creates a Service of one port, and returns its address: "None" for a headless one.
func (c *cluster) mustService(name string, port int, headless bool) string {
	c.t.Helper()
	spec := object{"ports": []object{{"name": "redis", "port": port, "targetPort": "redis"}}}
	if headless {
		spec["clusterIP"] = "None"
	}
	made := c.mustCreate("/api/v1/namespaces/shop/services", object{"metadata": object{"name": name}, "spec": spec})
	return made["spec"].(object)["clusterIP"].(string)
}

// slicesPath is where the EndpointSlices of the tests are.
const slicesPath = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"

// endpointSlice returns the pods behind a Service, with their port.
func endpointSlice(service string, port int, pods ...string) object {
	var endpoints []object
	for _, pod := range pods {
		endpoints = append(endpoints, object{"addresses": []string{pod}, "conditions": object{"ready": true}})
	}
	return object{
		"metadata":    object{"name": service + "-x", "labels": object{"kubernetes.io/service-name": service}},
		"addressType": "IPv4", "endpoints": endpoints, "ports": []object{{"name": "redis", "port": port, "protocol": "TCP"}},
	}
}

// clusterPod is a pod with one container "app" and another one, "proxy".
type clusterPod struct {
	c                   *cluster
	path, uid, id, name string
	cgroup              int
}

// mustPod creates a pod, which is on no node yet, and the cgroup of its container "app".
func (c *cluster) mustPod(namespace, name, ownerKind, ownerName string) *clusterPod {
	c.t.Helper()
	about := object{"name": name, "labels": object{"pod-template-hash": "5d8f7c9b4"}}
	if ownerKind != "" {
		about["ownerReferences"] = []object{{"apiVersion": "apps/v1", "kind": ownerKind, "name": ownerName, "uid": "01234567-89ab-cdef-0123-456789abcdef", "controller": true}}
	}
	path := "/api/v1/namespaces/" + namespace + "/pods"
	made := c.mustCreate(path, object{"metadata": about, "spec": object{"containers": []object{
		{"name": "proxy", "image": "proxy"}, {"name": "app", "image": "app", "ports": []object{{"name": "redis", "containerPort": 6379}}},
	}}})
	p := &clusterPod{c: c, path: path + "/" + name, name: name, uid: made["metadata"].(object)["uid"].(string)}
	p.id = strings.Repeat(strings.ReplaceAll(p.uid, "-", ""), 2)
	p.cgroup = mustCgroup(c.t, fmt.Sprintf("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice/cri-containerd-%s.scope",
		strings.ReplaceAll(p.uid, "-", "_"), p.id))
	return p
}

// mustBind does what the scheduler does.
func (p *clusterPod) mustBind(node string) {
	p.c.t.Helper()
	p.c.mustCreate(p.path+"/binding", object{"metadata": object{"name": p.name}, "target": object{"kind": "Node", "name": node}})
}

// mustRun does what the kubelet does when the containers run.
func (p *clusterPod) mustRun() {
	p.c.t.Helper()
	status := func(name, id string) object {
		return object{"name": name, "image": name, "imageID": name, "ready": true, "restartCount": 0, "containerID": "containerd://" + id, "state": object{"running": object{}}}
	}
	p.c.mustPatch(p.path+"/status", object{"status": object{"phase": "Running", "containerStatuses": []object{
		status("proxy", strings.Repeat("f", 64)), status("app", p.id),
	}}})
}

// mustRunningPod creates a pod that runs on the node of the tests.
func (c *cluster) mustRunningPod(namespace, name, ownerKind, ownerName string) *clusterPod {
	c.t.Helper()
	p := c.mustPod(namespace, name, ownerKind, ownerName)
	p.mustBind("node-1")
	p.mustRun()
	return p
}
