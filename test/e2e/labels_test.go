package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/kube/kubetest"
	"github.com/redis-observer/redis-observer/test/kit"
)

// unifiedMount is where the unified hierarchy is mounted on hosts that have the older ones too.
const unifiedMount = "/sys/fs/cgroup/unified"

// mustCgroup makes a cgroup below a path of the unified hierarchy. It returns its descriptor.
func mustCgroup(t *testing.T, path string) int {
	t.Helper()
	root := unifiedMount
	if _, err := os.Stat(root + "/cgroup.procs"); err != nil {
		root = "/sys/fs/cgroup"
	}
	if _, err := os.Stat(root + "/cgroup.procs"); err != nil {
		t.Skip("needs the unified hierarchy of cgroups")
	}
	whole := filepath.Join(root, path)
	err := error(syscall.ENOENT)
	for try := 0; errors.Is(err, syscall.ENOENT) && try < 100; try++ { // another test may remove the outer ones at that moment
		if err := os.MkdirAll(filepath.Dir(whole), 0o755); err != nil {
			t.Skipf("needs permission to make a cgroup: %v", err)
		}
		err = os.Mkdir(whole, 0o755)
	}
	require.NoError(t, err, "each test has cgroups of its own, which it removes; rmdir those of tests that were killed")
	t.Cleanup(func() {
		for at := whole; at != root; at = filepath.Dir(at) {
			_ = os.Remove(at) // another test may use the outer ones
		}
	})
	directory, err := os.Open(whole)
	require.NoError(t, err)
	t.Cleanup(func() { _ = directory.Close() })
	return int(directory.Fd())
}

// inCgroup prepares a command to start in a cgroup.
func inCgroup(cgroup int, program string, arguments ...string) *exec.Cmd {
	command := exec.Command(program, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: cgroup}
	return command
}

// podCgroup returns the cgroup of a container in a pod, by the slice of the pod and the container's id.
func podCgroup(slice, id string) string {
	return "kubepods.slice/kubepods-pod" + slice + ".slice/cri-containerd-" + id + ".scope"
}

// mustType starts a redis-cli that stays, and returns a function that types a command into it.
func mustType(t *testing.T, program *exec.Cmd) (send func(command string)) {
	t.Helper()
	in, err := program.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	t.Cleanup(func() {
		_ = in.Close() // which ends the program
		_ = program.Wait()
	})
	return func(command string) {
		_, err := in.Write([]byte(command + "\n"))
		require.NoError(t, err)
	}
}

// mustProgramNamed copies redis-cli under another name. By a process of its own: a file that this one wrote cannot be run ("text
// file busy") while a process that another test forked meanwhile still holds it.
func mustProgramNamed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath("redis-cli")
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("cp", path, copied).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return copied
}

const withLabels = "metrics: {labels: [process_executable_name, systemd_unit, container_id]}\n"

// Short-lived processes of three programs in three cgroups, several at once, each of which sends a few commands of its own: none
// counts under another one, and the sum over the labels is what was sent.
func TestLabelsOfShortLivedProcesses(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	id := strings.Repeat("0123456789abcdef", 4)
	pod := mustCgroup(t, podCgroup("01234567_89ab_cdef_0123_456789abcdef", id))
	unit, outside := mustCgroup(t, "system.slice/shop.service"), mustCgroup(t, "shortlived")
	r := mustRedis(t)
	o := mustObserver(t, roomy+observing(r.Port)+withLabels)
	kinds := []struct {
		cgroup                   int
		program, command, labels string
	}{
		{pod, "shop-web", "INCR", "container_id=" + id + " systemd_unit="},
		{unit, "shop-worker", "LLEN", "container_id= systemd_unit=shop.service"},
		{outside, "shop-cron", "TTL", "container_id= systemd_unit="},
	}
	const times = 3
	processes := shortLived(t)
	var group sync.WaitGroup
	for _, kind := range kinds {
		path := mustProgramNamed(t, kind.program)
		for side := range 2 {
			group.Go(func() {
				for i := side; i < processes; i += 2 {
					out, err := inCgroup(kind.cgroup, path, "-p", strconv.Itoa(r.Port), "-r", strconv.Itoa(times), kind.command, "key-"+kind.command).CombinedOutput()
					assert.NoError(t, err, "%s", out)
				}
			})
		}
	}
	group.Wait()
	count := func(s snapshot, labels string) int {
		return s.sum("redis_commands_total", append(strings.Fields(labels), "name=default")...)
	}
	s := o.mustSee("the commands of all processes", func(s snapshot) bool { return count(s, "") >= len(kinds)*processes*times })
	for _, kind := range kinds {
		command := "command=" + strings.ToLower(kind.command)
		assert.Equal(t, processes*times, count(s, command), "the sum over all labels")
		assert.Equal(t, processes*times, count(s, command+" process_executable_name="+kind.program+" "+kind.labels))
	}
	assert.Equal(t, len(kinds)*processes, s.sum("redis_connections_opened_total", "name=default"))
	assert.Zero(t, s.sum("redis_observer_label_unknown_total"))
	assert.Zero(t, s.sum("redis_observer_label_overflow_total"))
	assert.LessOrEqual(t, s.sum("redis_observer_label_sets"), 2*len(kinds))
	assertExact(t, s)
}

// shortLived returns how many processes of each program a test starts: of all three together, REDIS_OBSERVER_TEST_PROCESSES.
func shortLived(t *testing.T) int {
	text := os.Getenv("REDIS_OBSERVER_TEST_PROCESSES")
	if text == "" {
		return 1000 / 3
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return (n + 2) / 3
}

// The server's end counts under the server's own cgroup and executable, although the kernel opens an
// accepted connection while the client runs.
func TestLabelsOfTheServer(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	client := mustCgroup(t, "system.slice/client.service")
	r := mustRedis(t)
	o := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: here, role: server, addresses: ['*:%d']}]\nmetrics: {labels: [process_executable_name, systemd_unit, client_address]}\n", r.Port))
	for range 20 {
		require.NoError(t, inCgroup(client, "redis-cli", "-p", strconv.Itoa(r.Port), "PING").Run())
	}
	s := o.mustSee("the commands", func(s snapshot) bool { return s.commands("here")["ping"] == 20 })
	assert.Equal(t, 20, s.sum("redis_commands_total", "name=here", "command=ping", "client_address=127.0.0.1", "systemd_unit="))
	assert.Zero(t, s.sum("redis_commands_total", "process_executable_name=redis-cli"))
	assert.Zero(t, s.sum("redis_commands_total", "systemd_unit=client.service"))
}

// A connection that is older than the observer has its cgroup from the listing, and its program from
// its next call.
func TestLabelsOfOlderConnections(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	unit := mustCgroup(t, "system.slice/older.service")
	r := mustRedis(t)
	program := inCgroup(unit, "redis-cli", "-p", strconv.Itoa(r.Port))
	in, err := program.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	t.Cleanup(func() {
		_ = in.Close() // which ends the program
		_ = program.Wait()
	})
	_, err = in.Write([]byte("PING\n"))
	require.NoError(t, err)
	time.Sleep(500 * time.Millisecond)
	o := mustObserver(t, observing(r.Port)+withLabels)
	o.mustSee("its unit in the gauge", func(s snapshot) bool {
		return s.sum("redis_pool_connections", "systemd_unit=older.service", "process_executable_name=", "state=available") == 1
	})
	time.Sleep(200 * time.Millisecond) // so that the command is known to be the only one outstanding
	_, err = in.Write([]byte("ECHO now\n"))
	require.NoError(t, err)
	s := o.mustSee("its command", func(s snapshot) bool { return s.commands("default")["echo"] == 1 })
	assert.Equal(t, 1, s.sum("redis_commands_total", "command=echo", "systemd_unit=older.service", "process_executable_name=redis-cli"))
}

// A connection that the client has reset is in no table of the kernel, but the server still holds it,
// and reads what came before when it gets to it. A listing meanwhile, for ends that are missing, does
// not take it for gone: what is read later still is of the server's executable.
func TestLabelsOfResetConnections(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(mustPort(t)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	o := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: here, role: server, addresses: ['*:%d']}]\n", listener.Addr().(*net.TCPAddr).Port)+withLabels)
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	server, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	ask := func(n int) {
		_, err := client.Write(repeat(n, "PING"))
		require.NoError(t, err)
	}
	read := func(n int) {
		_, err := io.ReadFull(server, make([]byte, len(repeat(n, "PING"))))
		require.NoError(t, err)
	}
	ask(1)
	read(1)
	_, err = server.Write([]byte("+PONG\r\n"))
	require.NoError(t, err)
	ask(3)
	require.NoError(t, client.(*net.TCPConn).SetLinger(0))
	require.NoError(t, client.Close())
	read(1)
	time.Sleep(7 * time.Second) // the close is missing after two to four: all are listed
	read(2)
	require.NoError(t, server.Close())
	s := o.mustSee("the commands", func(s snapshot) bool { return s.commands("here")["ping"] == 4 })
	assert.Equal(t, 4, s.sum("redis_commands_total", "command=ping", "process_executable_name=e2e.test"))
}

// workload is a container in a pod.
type workload struct{ digit, cgroup, owner, labels string }

// podUID returns the UID of a pod in the form of the API, and of the name of a slice.
func podUID(digit string) (uid, slice string) {
	uid = strings.Repeat(digit, 8) + "-89ab-cdef-0123-456789abcdef"
	return uid, strings.ReplaceAll(uid, "-", "_")
}

// asNode prepares an observer to run in a pod on a node.
func asNode(tb testing.TB, api *kubetest.Server, node string) func(*exec.Cmd) {
	tb.Helper()
	if err := unshareable(); err != nil {
		skip(tb, "needs CAP_SYS_ADMIN to mount a service account: "+err.Error())
	}
	prepare := inPod(tb, api)
	return func(c *exec.Cmd) {
		prepare(c)
		c.Env = append(c.Env, "NODE_NAME="+node)
	}
}

const podLabels = "metrics: {labels: [k8s_namespace_name, k8s_pod_name, k8s_container_name, k8s_owner_kind, k8s_owner_name]}\n"

// Programs in cgroups as containerd and CRI-O make them, with either driver, count under their pods, and so
// does a server in one at its end.
func TestLabelsOfPods(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	api := kubetest.Serve(t)
	id := func(digit string) string { return strings.Repeat("0123456789abcde"+digit, 4) }
	var pods []string
	var want []workload
	for _, w := range []workload{
		{"1", "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%[2]s.slice/cri-containerd-%[3]s.scope", "ReplicaSet/web-5d8f7c9b4", "k8s_owner_kind=Deployment k8s_owner_name=web"},
		{"2", "kubepods/burstable/pod%[1]s/%[3]s", "StatefulSet/db", "k8s_owner_kind=StatefulSet k8s_owner_name=db"},
		{"3", "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod%[2]s.slice/crio-%[3]s.scope", "DaemonSet/agent", "k8s_owner_kind=DaemonSet k8s_owner_name=agent"},
		{"4", "kubepods/pod%[1]s/crio-%[3]s", "Job/nightly-28311840", "k8s_owner_kind=Job k8s_owner_name=nightly-28311840"},
		{"5", "kubepods.slice/kubepods-pod%[2]s.slice/cri-containerd-%[3]s.scope", "", "k8s_owner_kind= k8s_owner_name="},
	} {
		uid, slice := podUID(w.digit)
		w.cgroup = fmt.Sprintf(w.cgroup, uid, slice, id(w.digit))
		pods = append(pods, kubetest.Pod("node-1", uid, "pod-"+w.digit, w.owner, [2]string{"proxy", id("f")}, [2]string{"app-" + w.digit, id(w.digit)}))
		want = append(want, w)
	}
	api.Set(kubetest.Pods, "["+strings.Join(pods, ",")+"]")
	var cgroups []int
	for _, w := range want {
		cgroups = append(cgroups, mustCgroup(t, w.cgroup))
	}
	server, err := kit.StartServer(inCgroup(cgroups[1], "redis-server"), mustPort(t))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	client := mustRedis(t)
	o := mustPreparedObserver(t, raceBinary, fmt.Sprintf("ports: [%d]\nendpoints:\n  - {name: here, role: server, addresses: ['*:%d']}\n", client.Port, server.Port)+podLabels, asNode(t, api, "node-1"))

	const each = 10
	for _, cgroup := range cgroups {
		for range each {
			require.NoError(t, inCgroup(cgroup, "redis-cli", "-p", strconv.Itoa(client.Port), "INCR", "key").Run())
		}
	}
	outside := mustDial(t, client.Address())
	outside.mustDo("INCR", "key")
	for range each {
		require.NoError(t, exec.Command("redis-cli", "-p", strconv.Itoa(server.Port), "DECR", "key").Run())
	}
	s := o.mustSee("all commands", func(s snapshot) bool {
		return s.commands("default")["incr"] == each*len(want)+1 && s.commands("here")["decr"] == each
	})
	for _, w := range want {
		labels := append(strings.Fields(w.labels), "name=default", "command=incr", "k8s_namespace_name=shop", "k8s_pod_name=pod-"+w.digit, "k8s_container_name=app-"+w.digit)
		assert.Equal(t, each, s.sum("redis_commands_total", labels...), w.cgroup)
	}
	assert.Equal(t, 1, s.sum("redis_commands_total", "command=incr", "k8s_namespace_name=", "k8s_pod_name=", "k8s_container_name=", "k8s_owner_name="), "of no pod")
	assert.Equal(t, each, s.sum("redis_commands_total", "name=here", "command=decr", "k8s_pod_name=pod-2", "k8s_container_name=app-2"))
	assert.Zero(t, s.sum("redis_observer_label_unknown_total"))
	for _, request := range api.Requests() {
		assert.Contains(t, request, "spec.nodeName%3Dnode-1", "never of the whole cluster")
	}
}

// A connection counts as unknown until its pod is known, and under it from then on. While the API server
// refuses, what is known stays, and observing goes on.
func TestLabelsOfLatePods(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	api := kubetest.Serve(t)
	api.Refuse(http.StatusForbidden)
	uid, slice := podUID("6")
	id := strings.Repeat("6", 64)
	r := mustRedis(t)
	o := mustPreparedObserver(t, raceBinary, observing(r.Port)+podLabels, asNode(t, api, "node-1"))
	assert.Contains(t, o.Log(), "cannot watch the pods of this node; labels and namespaces of new ones are unknown")
	assert.Contains(t, o.Log(), "allow list and watch of pods to the service account")
	assert.NotContains(t, o.Log(), "secret")

	send := mustType(t, inCgroup(mustCgroup(t, podCgroup(slice, id)), "redis-cli", "-p", strconv.Itoa(r.Port)))
	send("ECHO early")
	s := o.mustSee("an early command", func(s snapshot) bool { return s.commands("default")["echo"] == 1 })
	assert.Equal(t, 1, s.sum("redis_commands_total", "command=echo", "k8s_pod_name=unknown", "k8s_owner_name=unknown"))
	assert.Equal(t, 1, s.sum("redis_observer_label_unknown_total", "label=k8s_pod_name"))
	assert.Positive(t, s.value("redis_observer_pod_watch_failures_total"))

	api.Refuse(http.StatusOK)
	api.Send(kubetest.Pods, `{"type": "ADDED", "object": `+kubetest.Pod("node-1", uid, "late", "ReplicaSet/web-5d8f7c9b4", [2]string{"app", ""}, [2]string{"proxy", ""})+`}`)
	o.mustSee("its pod in the gauge", func(s snapshot) bool {
		return s.sum("redis_pool_connections", "k8s_pod_name=late", "k8s_container_name=unknown", "k8s_owner_name=web", "state=available") == 1
	})
	api.Send(kubetest.Pods, `{"type": "MODIFIED", "object": `+kubetest.Pod("node-1", uid, "late", "ReplicaSet/web-5d8f7c9b4", [2]string{"app", id}, [2]string{"proxy", ""})+`}`)
	o.mustSee("its container in the gauge", func(s snapshot) bool {
		return s.sum("redis_pool_connections", "k8s_pod_name=late", "k8s_container_name=app", "state=available") == 1
	})
	api.Refuse(http.StatusForbidden)
	api.CloseClientConnections()
	before := s.value("redis_observer_pod_watch_failures_total")
	o.mustSee("another failure", func(s snapshot) bool { return s.value("redis_observer_pod_watch_failures_total") > before+1 })
	send("STRLEN late")
	s = o.mustSee("a late command", func(s snapshot) bool { return s.commands("default")["strlen"] == 1 })
	assert.Equal(t, 1, s.sum("redis_commands_total", "command=strlen", "k8s_pod_name=late", "k8s_container_name=app"))
	assert.Equal(t, 1, s.sum("redis_commands_total", "command=echo", "k8s_pod_name=unknown"), "what has ended counts as before")
	assert.Equal(t, 1, s.sum("redis_commands_total", "command=echo"))
	assert.Equal(t, 1, s.sum("redis_observer_label_unknown_total", "label=k8s_pod_name"))
	assert.Contains(t, o.Log(), "watching the pods of this node again")
}

// check says what the labels of pods need, and whether it is granted.
func TestCheckOfPods(t *testing.T) {
	t.Parallel()
	RequireObserver(t)
	api := kubetest.Serve(t)
	prepare := asNode(t, api, "node-1")
	config := filepath.Join(t.TempDir(), "observer.yaml")
	require.NoError(t, os.WriteFile(config, []byte(podLabels), 0o644))
	check := func(prepare func(*exec.Cmd)) string {
		command := exec.Command(raceBinary, "check", "--config", config)
		command.Env = kit.Environment()
		prepare(command)
		out, _ := command.CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "pods") {
				return line
			}
		}
		t.Fatalf("no pods in %s", out)
		return ""
	}
	assert.Contains(t, check(prepare), "list and watch of the pods of this node: granted for node-1")
	assert.Contains(t, check(func(*exec.Cmd) {}), "NODE_NAME is not set")
	api.Refuse(http.StatusForbidden)
	assert.Contains(t, check(prepare), "unknown: get /api/v1/pods: 403 Forbidden (allow list and watch of pods to the service account)")
}

// The names of containers are read in the files of Docker and Podman, as root without capabilities.
func TestLabelsOfContainerNames(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	if err := unshareable(); err != nil {
		skip(t, "needs CAP_SYS_ADMIN to mount the files of runtimes: "+err.Error())
	}
	docker, podman, nobody := strings.Repeat("d", 64), strings.Repeat("e", 64), strings.Repeat("f", 64)
	files := t.TempDir()
	for name, text := range map[string]string{
		"docker/containers/" + docker + "/config.v2.json":                `{"ID": "` + docker + `", "Name": "/session-cache"}`,
		"containers/storage/overlay-containers/volatile-containers.json": `[{"id": "` + podman + `", "names": ["job-queue"]}]`,
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(files, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(files, name), []byte(text), 0o600))
	}
	r := mustRedis(t)
	const script = `mount -t tmpfs none /var/lib && cp -r "$0"/* /var/lib && chmod 755 "${3%/*}" && chmod 644 "$3" && exec "$@"`
	o := mustPreparedObserver(t, shippedBinary, observing(r.Port)+"metrics: {labels: [container_name]}\n", func(c *exec.Cmd) {
		in := exec.Command("/bin/sh", append([]string{"-c", script, files}, c.Args...)...)
		c.Path, c.Args = in.Path, in.Args
		c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	})
	o.mustSee("its beginning", func(snapshot) bool { return strings.Contains(o.Log(), "redis-observer started") })
	assert.Contains(t, o.Log(), "an unprivileged user cannot read the names of containers: open var/lib/")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.PID()))
	require.NoError(t, err)
	assert.Contains(t, string(status), "CapPrm:\t0000000000000000\n")
	for cgroup, command := range map[string]string{
		"system.slice/docker-" + docker + ".scope": "INCR", "machine.slice/libpod-" + podman + ".scope/container": "LLEN", "docker/" + nobody: "TTL",
	} {
		require.NoError(t, inCgroup(mustCgroup(t, cgroup), "redis-cli", "-p", strconv.Itoa(r.Port), command, "key-"+command).Run())
	}
	mustDial(t, r.Address()).mustDo("TYPE", "key")
	s := o.mustSee("all commands", func(s snapshot) bool {
		c := s.commands("default")
		return c["incr"] == 1 && c["llen"] == 1 && c["ttl"] == 1 && c["type"] == 1
	})
	for command, name := range map[string]string{"incr": "session-cache", "llen": "job-queue", "ttl": "unknown", "type": ""} {
		assert.Equal(t, 1, s.sum("redis_commands_total", "command="+command, "container_name="+name), command)
	}
	assert.Equal(t, 1, s.sum("redis_observer_label_unknown_total", "label=container_name"))
}
