package artefacts

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// descriptor, index, manifest and imageConfig are what matters of OCI's image format.
type descriptor struct {
	Digest   string
	Platform struct{ OS, Architecture string }
}

type index struct{ Manifests []descriptor }

type manifest struct {
	Config descriptor
	Layers []descriptor
}

type imageConfig struct {
	OS, Architecture string
	Config           struct {
		User       string
		Entrypoint []string
		Labels     map[string]string
	}
}

// image is the image of a release as its archive has it, by name of blob.
type image map[string][]byte

func mustImage(tb testing.TB) image {
	tb.Helper()
	file, err := os.Open(mustFind(tb, "redis-observer_*_image.tar"))
	require.NoError(tb, err)
	defer file.Close()
	return mustReadTar(tb, file)
}

func mustParse[T any](tb testing.TB, text []byte) (value T) {
	tb.Helper()
	require.NoError(tb, json.Unmarshal(text, &value), "%s", text)
	return value
}

func (i image) blob(d descriptor) []byte { return i["blobs/"+strings.Replace(d.Digest, ":", "/", 1)] }

// platforms returns the index of both architectures.
func (i image) platforms(tb testing.TB) []descriptor {
	tb.Helper()
	top := mustParse[index](tb, i["index.json"])
	require.Len(tb, top.Manifests, 1)
	digest, err := os.ReadFile(mustFind(tb, "redis-observer_*_image.digest"))
	require.NoError(tb, err)
	require.Equal(tb, top.Manifests[0].Digest, strings.TrimSpace(string(digest)))
	return mustParse[index](tb, i.blob(top.Manifests[0])).Manifests
}

func TestImage(t *testing.T) {
	i := mustImage(t)
	platforms := i.platforms(t)
	require.Len(t, platforms, 2)
	for n, architecture := range []string{"amd64", "arm64"} {
		assert.Equal(t, architecture, platforms[n].Platform.Architecture)
		m := mustParse[manifest](t, i.blob(platforms[n]))
		config := mustParse[imageConfig](t, i.blob(m.Config))
		assert.Equal(t, architecture, config.Architecture)
		assert.Equal(t, "linux", config.OS)
		assert.Equal(t, "65521:65521", config.Config.User, "nobody needs root to replay a capture")
		assert.Equal(t, []string{"/redis-observer"}, config.Config.Entrypoint)
		assert.Equal(t, mustVersion(t), config.Config.Labels["org.opencontainers.image.version"])
		assert.Len(t, config.Config.Labels["org.opencontainers.image.revision"], 40, "of a clean commit")
		require.Len(t, m.Layers, 1)
		files := i.files(t, m.Layers[0])
		require.Len(t, files, 1)
		assertProgram(t, "linux_"+architecture, files["redis-observer"])
	}
}

func (i image) files(tb testing.TB, layer descriptor) map[string][]byte {
	tb.Helper()
	uncompressed, err := gzip.NewReader(bytes.NewReader(i.blob(layer)))
	require.NoError(tb, err)
	return mustReadTar(tb, uncompressed)
}

// mustBundle unpacks the image for this machine into a folder that every user can read.
func mustBundle(tb testing.TB) (bundle, rootfs string, config imageConfig) {
	tb.Helper()
	bundle = tb.TempDir()
	for folder := bundle; folder != os.TempDir(); folder = filepath.Dir(folder) {
		require.NoError(tb, os.Chmod(folder, 0o755))
	}
	i := mustImage(tb)
	m := mustParse[manifest](tb, i.blob(i.platforms(tb)[0]))
	rootfs = filepath.Join(bundle, "rootfs")
	require.NoError(tb, os.Mkdir(rootfs, 0o755))
	for name, content := range i.files(tb, m.Layers[0]) {
		require.NoError(tb, os.WriteFile(filepath.Join(rootfs, name), content, 0o755))
	}
	return bundle, rootfs, mustParse[imageConfig](tb, i.blob(m.Config))
}

// mustDaemonSet renders the manifests as `kubectl apply -k` does.
func mustDaemonSet(tb testing.TB) *apps.DaemonSet {
	tb.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), root+"/deploy/kubernetes")
	require.NoError(tb, err)
	for _, resource := range resources.Resources() {
		if resource.GetKind() == "DaemonSet" {
			text, err := resource.AsYAML()
			require.NoError(tb, err)
			set := &apps.DaemonSet{}
			require.NoError(tb, yaml.UnmarshalStrict(text, set))
			return set
		}
	}
	require.Fail(tb, "no DaemonSet")
	return nil
}

// mustSpec is what a kubelet and containerd make of the pod: the rights of its container, and nothing else.
func mustSpec(tb testing.TB, pod core.PodSpec, entrypoint []string, rootfs, configuration string) *specs.Spec {
	tb.Helper()
	container := pod.Containers[0]
	security := container.SecurityContext
	require.Equal(tb, []core.Capability{"ALL"}, security.Capabilities.Drop)
	require.Equal(tb, core.SeccompProfileTypeRuntimeDefault, security.SeccompProfile.Type)
	require.True(tb, pod.HostPID)
	require.False(tb, pod.HostNetwork)
	var capabilities []string
	for _, c := range security.Capabilities.Add {
		capabilities = append(capabilities, "CAP_"+string(c))
	}
	memory := container.Resources.Limits.Memory().Value()
	require.Positive(tb, memory)
	spec := &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: rootfs, Readonly: *security.ReadOnlyRootFilesystem},
		Process: &specs.Process{
			Cwd: "/", Args: append(entrypoint, container.Args...), NoNewPrivileges: !*security.AllowPrivilegeEscalation,
			User:         specs.User{UID: uint32(*security.RunAsUser), GID: uint32(*security.RunAsGroup)},
			Capabilities: &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
			{Destination: container.VolumeMounts[0].MountPath, Type: "bind", Source: configuration, Options: []string{"rbind", "ro"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/redis-observer-image-test",
			Resources:   &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &memory}},
			Namespaces: []specs.LinuxNamespace{ // of the pod its own but the processes
				{Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	for _, mount := range []string{container.VolumeMounts[0].MountPath, "/proc", "/dev", "/sys"} {
		require.NoError(tb, os.MkdirAll(filepath.Join(rootfs, mount), 0o755)) // an image that is mounted read-only gets them from its runtime
	}
	profile, err := seccomp.GetDefaultProfile(spec)
	require.NoError(tb, err)
	spec.Linux.Seccomp = profile
	return spec
}

// configMap is a volume as the kubelet writes it: the file is a link through ..data, which is replaced as a whole.
type configMap struct {
	folder string
	writes int
}

func (c *configMap) mustWrite(tb testing.TB, configuration string) {
	tb.Helper()
	c.writes++
	data := fmt.Sprintf("..%d", c.writes)
	require.NoError(tb, os.Mkdir(filepath.Join(c.folder, data), 0o755))
	require.NoError(tb, os.WriteFile(filepath.Join(c.folder, data, "observer.yaml"), []byte(configuration), 0o644))
	require.NoError(tb, os.Symlink(data, filepath.Join(c.folder, "..data_tmp")))
	require.NoError(tb, os.Rename(filepath.Join(c.folder, "..data_tmp"), filepath.Join(c.folder, "..data")))
	if c.writes == 1 {
		require.NoError(tb, os.Symlink("..data/observer.yaml", filepath.Join(c.folder, "observer.yaml")))
	}
}

// pod is a running container.
type pod struct {
	*kit.Process
	name   string
	pid    int
	client http.Client
}

func mustPod(tb testing.TB, spec *specs.Spec, bundle string) *pod {
	tb.Helper()
	text, err := json.Marshal(spec)
	require.NoError(tb, err)
	require.NoError(tb, os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600))
	p := &pod{name: "redis-observer-" + strconv.Itoa(os.Getpid())}
	pidFile := filepath.Join(bundle, "pid")
	p.Process, err = kit.Start(exec.Command("runc", "run", "--bundle", bundle, "--pid-file", pidFile, p.name), func() bool {
		text, err := os.ReadFile(pidFile)
		if err != nil {
			return false
		}
		p.pid, err = strconv.Atoi(string(text))
		return err == nil
	})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		_ = exec.Command("runc", "delete", "--force", p.name).Run() // it is gone unless the test failed
		if tb.Failed() {
			tb.Logf("%s", p.Output)
		}
	})
	p.client = http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: p.dial}}
	return p
}

// dial connects in the network namespace of the pod, as the kubelet and Prometheus reach it.
func (p *pod) dial(ctx context.Context, network, address string) (net.Conn, error) {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.pid))
	if err != nil {
		return nil, err
	}
	defer namespace.Close()
	result := make(chan error, 1)
	var conn net.Conn
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		var err error
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		result <- err
	}()
	err = <-result
	return conn, err
}

// get returns the status and body of a page.
func (p *pod) get(path string) (int, string) {
	response, err := p.client.Get("http://127.0.0.1:9479" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

func (p *pod) mustSee(tb testing.TB, line string) {
	tb.Helper()
	var page string
	require.True(tb, kit.Wait(20*time.Second, func() bool {
		_, page = p.get("/metrics")
		return strings.Contains(page, line+"\n")
	}), "%s is not in\n%s\n%s", line, page, p.Output)
}

// The image as the DaemonSet runs it: with these rights it observes a Redis outside of the pod, answers its probes, follows its
// ConfigMap, and stops in time.
func TestImageRunsAsInTheDaemonSet(t *testing.T) {
	requireRoot(t, "runc", "redis-server")
	bundle, rootfs, config := mustBundle(t)
	volume := &configMap{folder: filepath.Join(bundle, "config")}
	require.NoError(t, os.Mkdir(volume.folder, 0o755))
	const port = 24131
	configuration := fmt.Sprintf("ports: [%d]\n", port)
	volume.mustWrite(t, configuration)
	server, err := kit.StartRedis(port)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	older, err := kit.Dial(port)
	require.NoError(t, err)
	defer older.Close()

	set := mustDaemonSet(t)
	container := set.Spec.Template.Spec.Containers[0]
	p := mustPod(t, mustSpec(t, set.Spec.Template.Spec, config.Config.Entrypoint, rootfs, volume.folder), bundle)
	startup := time.Duration(container.StartupProbe.PeriodSeconds*container.StartupProbe.FailureThreshold) * time.Second
	for _, probe := range []*core.Probe{container.StartupProbe, container.ReadinessProbe, container.LivenessProbe} {
		require.True(t, kit.Wait(startup, func() bool { status, _ := p.get(probe.HTTPGet.Path); return status == http.StatusOK }), "%s", p.Output)
	}
	p.mustSee(t, `redis_pool_connections{name="default",state="available"} 1`) // hostPID: it is older than the observer

	require.NoError(t, server.ResetStats())
	conn, err := kit.Dial(port) // of which nothing is missing
	require.NoError(t, err)
	defer conn.Close()
	ask := func(n int) {
		for range n {
			require.NoError(t, conn.Send(resp.Request("GET", "key")))
			_, err := conn.Receive(1)
			require.NoError(t, err)
		}
	}
	ask(20)
	p.mustSee(t, `redis_commands_total{command="get",name="default",status="success"} 20`)

	volume.mustWrite(t, configuration+fmt.Sprintf("endpoints: [{name: cache, addresses: [\"127.0.0.1:%d\"]}]\n", port))
	require.True(t, kit.Wait(20*time.Second, func() bool { return strings.Contains(p.Output.String(), "configuration reloaded") }), "%s", p.Output)
	ask(30)
	p.mustSee(t, `redis_commands_total{command="get",name="cache",status="success"} 30`)
	calls, err := server.Calls()
	require.NoError(t, err)
	assert.EqualValues(t, 50, calls["get"].Calls, "Redis counted as many")

	assert.Contains(t, p.Output.String(), "system calls filtered")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	require.NoError(t, err)
	assert.Contains(t, string(status), "Uid:\t65521\t65521\t65521\t65521\n")
	assert.Contains(t, string(status), "CapEff:\t0000000000000000\n")
	assert.Contains(t, string(status), "NoNewPrivs:\t1\n")

	begin := time.Now()
	mustOutput(t, "runc", "kill", p.name, "TERM")
	select {
	case <-p.Exited():
	case <-time.After(time.Duration(*set.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second):
		require.Fail(t, "it does not stop in time", "%s", p.Output)
	}
	t.Logf("stopped after %s", time.Since(begin).Round(time.Millisecond))
	assert.Zero(t, p.ExitCode(), "%s", p.Output)
	assert.Contains(t, p.Output.String(), "redis-observer stopped")
}

// Without --user and capabilities, as a user tries an image: the replay works, and what observing lacks is named.
func TestImageAsItIs(t *testing.T) {
	requireRoot(t, "runc")
	bundle, rootfs, config := mustBundle(t)
	capture, err := os.ReadFile(root + "/test/demo/traffic.pcap.gz")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(rootfs, "traffic.pcap.gz"), capture, 0o644))
	run := func(arguments ...string) (string, error) {
		spec := &specs.Spec{
			Version: "1.0.2", Root: &specs.Root{Path: rootfs, Readonly: true},
			Process: &specs.Process{Cwd: "/", Args: append(config.Config.Entrypoint, arguments...), User: specs.User{UID: 65521, GID: 65521}},
			Mounts: []specs.Mount{
				{Destination: "/proc", Type: "proc", Source: "proc"},
				{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			},
			Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.MountNamespace},
			}},
		}
		for _, mount := range spec.Mounts {
			require.NoError(t, os.MkdirAll(filepath.Join(rootfs, mount.Destination), 0o755))
		}
		text, err := json.Marshal(spec)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600))
		output, err := exec.Command("runc", "run", "--bundle", bundle, "redis-observer-asis-"+strconv.Itoa(os.Getpid())).CombinedOutput()
		return string(output), err
	}
	output, err := run("replay", "--ports", "26399", "/traffic.pcap.gz")
	require.NoError(t, err, output)
	assert.Contains(t, output, "redis_commands_total{")
	output, err = run("--ports", "6379")
	require.Error(t, err)
	assert.Contains(t, output, "CAP_BPF")
}
