//go:build kube

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/redis-observer/redis-observer/test/kit"
)

// Where the pods of TestKube listen. The port of the Service is another one.
const (
	firstDB, secondDB, dbPort = "10.244.1.10", "10.244.1.11", 7000
	queuePod, queuePodPort    = "10.244.1.20", 7001
	sessionsPort              = 6379
)

// kubeValues are those of the chart, with all labels.
const kubeValues = `
serviceAccount: {create: true}
config:
  ports: []
  default_name: ""
  endpoints:
    - {name: sessions, addresses: ["service://shop/sessions:6379"]}
    - {name: queue, addresses: ["service://shop/queue:7001"]}
  ignore:
    namespaces: ["istio-*"]
  metrics:
    labels: [process_executable_name, systemd_unit, container_id, container_name, client_address, k8s_namespace_name, k8s_pod_name,
      k8s_container_name, k8s_owner_kind, k8s_owner_name]
`

// each is how many processes run each command.
const each = 10

// noticed is how long it may take until a failure, or its end, is noticed: 30 s until a server that stops is, and as long between
// two attempts.
const noticed = 90 * time.Second

// kubeTest is what the parts of TestKube share.
type kubeTest struct {
	*cluster
	sessions string            // the address of the Service
	account  string            // the folder of the observers' service account
	rights   map[string]object // what gives it its rights, by path
	web, db  *clusterPod       // a client and the servers
	labelled *observer         // with all labels
	plain    *observer         // the same without labels
}

// TestKube: observers with the rights that the chart gives them, beside a real API server. The kernel translates the address of a
// Service as kube-proxy has it do; servers and clients are in the cgroups of pods of one node, so both ends of each connection are
// seen. It runs in a network namespace of its own, by running this program again.
func TestKube(t *testing.T) {
	if os.Getenv(builtVariable) == "" {
		RequireProbes(t, "packets do not show who has a connection")
		if _, err := exec.LookPath("nft"); err != nil {
			skip(t, "needs nft: apt-get install nftables")
		}
		runElsewhere(t, "TestKube")
		return
	}
	k := mustKube(t)
	t.Run("pods", k.testPods)
	t.Run("services", k.testServices)
	t.Run("roles", k.testRoles)
	t.Run("late", k.testLatePods)
	t.Run("ignored", k.testIgnored)
	t.Run("stopped", k.testStopped)
	t.Run("dead", k.testDead)
	t.Run("forbidden", k.testForbidden)
	k.assertSums(t)
}

func mustKube(t *testing.T) *kubeTest {
	t.Helper()
	mustRaiseLoopback(t)
	mustRunAll(t, [][]string{
		{"ip", "address", "add", "10.244.0.1/16", "dev", "lo"},
		{"ip", "route", "add", "10.96.0.0/24", "dev", "lo", "src", "10.244.0.1"},
		{"nft", "add table ip nat"},
		{"nft", "add chain ip nat output { type nat hook output priority -100; }"},
	})
	k := &kubeTest{cluster: mustCluster(t)}
	for _, name := range []string{"shop", "istio-system", "watchers"} {
		k.mustCreate("/api/v1/namespaces", object{"metadata": object{"name": name}})
	}
	k.sessions = k.mustService("sessions", sessionsPort, false)
	require.Equal(t, "None", k.mustService("queue", queuePodPort, true))
	mustRunAll(t, [][]string{{"nft", fmt.Sprintf("add rule ip nat output ip daddr %s tcp dport %d dnat to %s:%d", k.sessions, sessionsPort, firstDB, dbPort)}})
	k.web = k.mustRunningPod("shop", "web-5d8f7c9b4-abcde", "ReplicaSet", "web-5d8f7c9b4")
	k.db = k.mustRunningPod("shop", "db-0", "StatefulSet", "db")
	for ips, port := range map[string]int{firstDB + " " + secondDB: dbPort, queuePod: queuePodPort} {
		server, err := kit.StartServer(inCgroup(k.db.cgroup, "redis-server"), port, "--bind", ips)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	}
	k.mustCreate(slicesPath, endpointSlice("sessions", dbPort, firstDB))
	k.mustCreate(slicesPath, endpointSlice("queue", queuePodPort, queuePod))
	config, rights := k.mustInstall("redis-observer", "watchers", kubeValues)
	require.Len(t, rights, 2, "for pods and for Services")
	k.rights, k.account = rights, k.mustAccount("watchers", "redis-observer")
	k.labelled, k.plain = k.mustObserve(t, config), k.mustObserve(t, mustRemoveLabels(t, config))
	require.Eventually(t, func() bool {
		k.run(t, nil, k.sessions, sessionsPort, "PING", 1)
		return k.labelled.mustScrape().commands("sessions")["ping"] > 0 && k.plain.mustScrape().commands("sessions")["ping"] > 0
	}, settled, 100*time.Millisecond, "the Service is known")
	return k
}

func mustRemoveLabels(t *testing.T, config string) string {
	t.Helper()
	var all object
	require.NoError(t, yaml.Unmarshal([]byte(config), &all))
	delete(all["metrics"].(object), "labels")
	text, err := yaml.Marshal(all)
	require.NoError(t, err)
	return string(text)
}

// mustObserve starts an observer in a pod of the node.
func (k *kubeTest) mustObserve(t *testing.T, config string) *observer {
	t.Helper()
	prepare := inPodOf(t, apiAt, k.account)
	return mustPreparedObserver(t, raceBinary, config, func(c *exec.Cmd) {
		prepare(c)
		c.Env = append(c.Env, "NODE_NAME=node-1")
	})
}

// run runs a command some times, each in a process of its own, in a pod or, if it is nil, outside.
func (k *kubeTest) run(t *testing.T, in *clusterPod, host string, port int, command string, times int) {
	t.Helper()
	for range times {
		program := exec.Command("redis-cli", "-h", host, "-p", strconv.Itoa(port), command)
		if in != nil {
			program = inCgroup(in.cgroup, "redis-cli", "-h", host, "-p", strconv.Itoa(port), command)
		}
		if command != "PING" {
			program.Args = append(program.Args, "key-"+command)
		}
		out, err := program.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// mustCount waits until both observers have counted a command, and returns what the one with labels counted.
func (k *kubeTest) mustCount(t *testing.T, name, command string, times int) snapshot {
	t.Helper()
	for _, o := range []*observer{k.plain, k.labelled} {
		o.mustSee(command, func(s snapshot) bool { return s.commands(name)[command] >= times })
		assert.Equal(t, times, o.mustScrape().commands(name)[command], command)
	}
	return k.labelled.mustScrape()
}

const ofWeb = "k8s_namespace_name=shop k8s_pod_name=web-5d8f7c9b4-abcde k8s_container_name=app container_name=app k8s_owner_kind=Deployment k8s_owner_name=web process_executable_name=redis-cli"

func labelled(command, labels string) []string {
	return append(strings.Fields(labels), "command="+command)
}

// Clients of a Service in a pod and outside of pods.
func (k *kubeTest) testPods(t *testing.T) {
	k.run(t, k.web, k.sessions, sessionsPort, "INCR", each)
	k.run(t, nil, k.sessions, sessionsPort, "INCR", each)
	s := k.mustCount(t, "sessions", "incr", 2*each)
	assert.Equal(t, each, s.sum("redis_commands_total", labelled("incr", ofWeb+" name=sessions container_id="+k.web.id)...))
	assert.Equal(t, each, s.sum("redis_commands_total", labelled("incr", "name=sessions k8s_pod_name= k8s_namespace_name= k8s_container_name= container_id=")...))
	assert.Zero(t, s.sum("redis_observer_label_unknown_total"))
	for _, o := range []*observer{k.labelled, k.plain} {
		assert.Zero(t, o.mustScrape().sum("redis_observer_pod_watch_failures_total"))
		assert.Zero(t, o.mustScrape().sum("redis_observer_service_watch_failures_total"))
	}
}

// Pods behind Services, at their own ports, also of a headless one; and endpoints that change.
func (k *kubeTest) testServices(t *testing.T) {
	k.run(t, k.web, queuePod, queuePodPort, "LLEN", each)
	k.run(t, k.web, firstDB, dbPort, "STRLEN", each)
	k.run(t, k.web, secondDB, dbPort, "STRLEN", each) // not of the Service yet
	assert.Equal(t, each, k.mustCount(t, "queue", "llen", each).sum("redis_commands_total", labelled("llen", ofWeb)...))
	k.mustCount(t, "sessions", "strlen", each)

	k.must(http.MethodPut, slicesPath+"/sessions-x", "application/json", endpointSlice("sessions", dbPort, secondDB))
	require.Eventually(t, func() bool {
		k.run(t, k.web, secondDB, dbPort, "TTL", 1)
		return k.labelled.mustScrape().commands("sessions")["ttl"] > 0 && k.plain.mustScrape().commands("sessions")["ttl"] > 0
	}, settled, 100*time.Millisecond)
	k.run(t, k.web, secondDB, dbPort, "TYPE", each)
	k.run(t, k.web, firstDB, dbPort, "TYPE", each) // no more
	k.run(t, k.web, k.sessions, sessionsPort, "TYPE", each)
	k.mustCount(t, "sessions", "type", 2*each)
	k.must(http.MethodPut, slicesPath+"/sessions-x", "application/json", endpointSlice("sessions", dbPort, firstDB))
	require.Eventually(t, func() bool {
		k.run(t, k.web, firstDB, dbPort, "TTL", 1)
		before := k.labelled.mustScrape().commands("sessions")["ttl"]
		k.run(t, k.web, secondDB, dbPort, "TTL", 1)
		time.Sleep(300 * time.Millisecond)
		return k.labelled.mustScrape().commands("sessions")["ttl"] == before
	}, settled, 100*time.Millisecond, "the second pod is forgotten")
}

// Both ends of a connection to a Service are on this node, and the kernel shows them different addresses of the server. A Service
// counts at one end, whatever its role. Addresses with different roles count at both ends, as docs/configuration.md says.
func (k *kubeTest) testRoles(t *testing.T) {
	const header = "ports: []\ndefault_name: ''\nmetrics: {labels: [k8s_pod_name]}\nendpoints:\n"
	server := k.mustObserve(t, header+"  - {name: sessions, role: server, addresses: ['service://shop/sessions:6379']}\n")
	both := k.mustObserve(t, header+"  - {name: sessions, addresses: ['service://shop/sessions:6379']}\n  - {name: pods, role: server, addresses: ['10.244.0.0/16:7000']}\n")
	written := k.mustObserve(t, header+fmt.Sprintf("  - {name: client, addresses: ['%s:%d']}\n  - {name: server, role: server, addresses: ['%s:%d']}\n", k.sessions, sessionsPort, firstDB, dbPort))
	fallback := k.mustObserve(t, "ports: [6379]\nmetrics: {labels: [k8s_pod_name]}\nendpoints:\n"+fmt.Sprintf("  - {name: server, role: server, addresses: ['%s:%d']}\n", firstDB, dbPort))
	for _, o := range []*observer{server, both, written, fallback} {
		require.Eventually(t, func() bool {
			k.run(t, k.web, k.sessions, sessionsPort, "PING", 1)
			return o.mustScrape().sum("redis_commands_total", "command=ping") > 0
		}, settled, 100*time.Millisecond)
	}
	k.run(t, k.web, k.sessions, sessionsPort, "EXISTS", each)
	k.mustCount(t, "sessions", "exists", each)
	seen := func(o *observer, labels string, times int) {
		t.Helper()
		count := func(s snapshot) int { return s.sum("redis_commands_total", labelled("exists", labels)...) }
		o.mustSee(labels, func(s snapshot) bool { return count(s) >= times })
		assert.Equal(t, times, count(o.mustScrape()), labels)
	}
	seen(server, "name=sessions k8s_pod_name=db-0", each)
	seen(both, "name=sessions k8s_pod_name=web-5d8f7c9b4-abcde", each)
	seen(written, "name=client k8s_pod_name=web-5d8f7c9b4-abcde", each)
	seen(written, "name=server k8s_pod_name=db-0", each)
	seen(fallback, "name=default k8s_pod_name=web-5d8f7c9b4-abcde", each)
	seen(fallback, "name=server k8s_pod_name=db-0", each)
	seen(server, "", each)
	seen(both, "", each)
	seen(written, "", 2*each)
}

// A pod whose process is older than what the API server says of it, one of another node, and one that is deleted.
func (k *kubeTest) testLatePods(t *testing.T) {
	late, other := k.mustPod("shop", "late", "DaemonSet", "agent"), k.mustPod("shop", "elsewhere", "", "")
	send := mustType(t, inCgroup(late.cgroup, "redis-cli", "-h", firstDB, "-p", strconv.Itoa(dbPort)))
	send("ECHO early")
	s := k.mustCount(t, "sessions", "echo", 1)
	assert.Equal(t, 1, s.sum("redis_commands_total", labelled("echo", "k8s_pod_name=unknown k8s_namespace_name=unknown k8s_container_name=unknown container_id="+late.id)...))
	assert.Positive(t, s.sum("redis_observer_label_unknown_total", "label=k8s_pod_name"))
	late.mustBind("node-1")
	other.mustBind("node-2")
	pool := func(labels string) func(s snapshot) bool {
		return func(s snapshot) bool { return s.sum("redis_pool_connections", strings.Fields(labels)...) == 1 }
	}
	k.labelled.mustSee("its pod", pool("k8s_pod_name=late k8s_container_name=unknown k8s_owner_kind=DaemonSet k8s_owner_name=agent state=available"))
	late.mustRun()
	other.mustRun()
	k.labelled.mustSee("its container", pool("k8s_pod_name=late k8s_container_name=app state=available"))
	send("SCARD late")
	assert.Equal(t, 1, k.mustCount(t, "sessions", "scard", 1).sum("redis_commands_total", labelled("scard", "k8s_pod_name=late k8s_container_name=app")...))
	k.run(t, other, firstDB, dbPort, "HLEN", each)
	assert.Equal(t, each, k.mustCount(t, "sessions", "hlen", each).sum("redis_commands_total", labelled("hlen", "k8s_pod_name=unknown container_id="+other.id)...))

	k.mustDelete(late.path)
	after := k.mustRunningPod("shop", "after", "", "") // known later than that the first one is gone
	k.mustKnow(t, after)
	send("ZCARD gone")
	assert.Equal(t, 1, k.mustCount(t, "sessions", "zcard", 1).sum("redis_commands_total", labelled("zcard", "k8s_pod_name=late k8s_container_name=app")...))
}

// mustKnow waits until a pod is known, by a connection that it keeps.
func (k *kubeTest) mustKnow(t *testing.T, p *clusterPod) {
	t.Helper()
	in := inCgroup(p.cgroup, "redis-cli", "-h", firstDB, "-p", strconv.Itoa(dbPort))
	input, err := in.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, in.Start())
	defer func() {
		_ = input.Close() // which ends the program
		_ = in.Wait()
	}()
	_, err = input.Write([]byte("ECHO known\n"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return k.labelled.mustScrape().sum("redis_pool_connections", "k8s_pod_name="+p.name, "k8s_container_name=app") == 1
	}, noticed, 100*time.Millisecond, p.name)
}

// Pods of a namespace that is ignored.
func (k *kubeTest) testIgnored(t *testing.T) {
	relay := k.mustRunningPod("istio-system", "relay", "", "")
	ignored := func(o *observer) int {
		return o.mustScrape().sum("redis_observer_ignored_connections_total", "by=namespace")
	}
	require.Eventually(t, func() bool {
		k.run(t, relay, firstDB, dbPort, "PING", 1)
		return ignored(k.labelled) > 0 && ignored(k.plain) > 0
	}, settled, 100*time.Millisecond)
	before := ignored(k.labelled)
	k.run(t, relay, firstDB, dbPort, "GET", each)
	k.run(t, k.web, firstDB, dbPort, "GET", each)
	s := k.mustCount(t, "sessions", "get", each)
	assert.Equal(t, each, s.sum("redis_commands_total", labelled("get", ofWeb)...))
	assert.Equal(t, each, ignored(k.labelled)-before)
}

// without does something to the API server, and sees that observing goes on: each outage is counted and logged, and what was known
// stays. Then it brings the server back, whose news are seen. A message is logged five times a minute at most, so of the Services only
// the first outages are.
func (k *kubeTest) without(t *testing.T, command string, begin, end func(), reason string) {
	t.Helper()
	const gone, back = "cannot watch the pods of this node; labels and namespaces of new ones are unknown", "watching the pods of this node again"
	failures := func() [3]int {
		s := k.labelled.mustScrape()
		return [3]int{
			s.sum("redis_observer_pod_watch_failures_total"),
			s.sum("redis_observer_service_watch_failures_total", "service=shop/sessions"), s.sum("redis_observer_service_watch_failures_total", "service=shop/queue"),
		}
	}
	before, began := failures(), len(k.labelled.Log())
	logged := func() string { return k.labelled.Log()[began:] }
	begin()
	k.run(t, k.web, k.sessions, sessionsPort, command, each)
	require.Eventually(t, func() bool {
		now := failures()
		return now[0] > before[0] && now[1] > before[1] && now[2] > before[2] && strings.Contains(logged(), reason)
	}, noticed, 100*time.Millisecond, "a failure of each watch")
	assert.Contains(t, logged(), gone)
	k.run(t, k.web, firstDB, dbPort, command, each)
	k.run(t, k.web, queuePod, queuePodPort, command, each)
	label := strings.ToLower(command)
	assert.Equal(t, each, k.mustCount(t, "queue", label, each).sum("redis_commands_total", labelled(label, ofWeb+" name=queue")...))
	assert.Equal(t, 2*each, k.mustCount(t, "sessions", label, 2*each).sum("redis_commands_total", labelled(label, ofWeb+" name=sessions")...))
	end()
	k.mustKnow(t, k.mustRunningPod("shop", "behind-"+label, "", ""))
	assert.Contains(t, logged(), back)
	k.mustFollow(t)
}

// mustFollow waits until the pod that is added to a Service is noticed, and removes it.
func (k *kubeTest) mustFollow(t *testing.T) {
	t.Helper()
	k.must(http.MethodPut, slicesPath+"/sessions-x", "application/json", endpointSlice("sessions", dbPort, firstDB, secondDB))
	pings := func(o *observer) int { return o.mustScrape().commands("sessions")["ping"] }
	before, plain := pings(k.labelled), pings(k.plain)
	require.Eventually(t, func() bool {
		k.run(t, k.web, secondDB, dbPort, "PING", 1)
		return pings(k.labelled) > before && pings(k.plain) > plain
	}, noticed, 100*time.Millisecond)
	k.must(http.MethodPut, slicesPath+"/sessions-x", "application/json", endpointSlice("sessions", dbPort, firstDB))
}

// An API server that stops closes no connection.
func (k *kubeTest) testStopped(t *testing.T) {
	k.without(t, "SDIFF", func() { require.NoError(t, k.api.Signal(syscall.SIGSTOP)) }, func() { require.NoError(t, k.api.Signal(syscall.SIGCONT)) }, "connection lost")
}

func (k *kubeTest) testDead(t *testing.T) {
	k.without(t, "SMEMBERS", func() { _ = k.api.Stop(syscall.SIGKILL) }, k.mustStart, "unexpected EOF")
}

// An API server that has begun anew asks for rights that were taken away meanwhile.
func (k *kubeTest) testForbidden(t *testing.T) {
	k.without(t, "LPOP", func() {
		for path := range k.rights {
			k.mustDelete(path)
		}
		_ = k.api.Stop(syscall.SIGKILL)
		k.mustStart()
	}, func() {
		for path, binding := range k.rights {
			k.mustCreate(path[:strings.LastIndexByte(path, '/')], binding)
		}
	}, "403 Forbidden (allow list and watch of ")
}

// assertSums compares all that the two observers counted: the sum over the labels is the value without them.
func (k *kubeTest) assertSums(t *testing.T) {
	t.Helper()
	compared := []string{
		"redis_commands_total", "redis_command_duration_seconds_count", "redis_command_errors_total", "redis_command_error_replies_total",
		"redis_command_request_bytes_total", "redis_command_response_bytes_total", "redis_command_nil_replies_total",
	}
	var want, got map[string]float64
	sums := func(o *observer) map[string]float64 {
		s, all := kit.Samples(o.mustScrape()), map[string]float64{}
		for _, family := range compared {
			for _, name := range []string{"sessions", "queue"} {
				for command, sum := range s.By("command", family, "name="+name) {
					if !slices.Contains([]string{"ping", "ttl"}, command) { // sent until the observers noticed something, each in its own time
						all[family+" "+name+" "+command] = sum
					}
				}
			}
		}
		return all
	}
	for deadline := time.Now().Add(settled); ; time.Sleep(100 * time.Millisecond) {
		want, got = sums(k.plain), sums(k.labelled)
		if assert.ObjectsAreEqual(want, got) || time.Now().After(deadline) {
			break
		}
	}
	assert.Equal(t, want, got)
	assertExact(t, k.labelled.mustScrape())
	assertExact(t, k.plain.mustScrape())
}
