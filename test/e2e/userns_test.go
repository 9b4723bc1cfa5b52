package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// nobody is a user without privileges.
const nobody = 65534

// mustUserNamespace starts redis-server as an ordinary user in a user namespace that it makes, with unshare's
// further options, and returns once the server answers.
func mustUserNamespace(t *testing.T, option, script string, answers func(*os.Process) bool, arguments ...string) *os.Process {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "needs root, to become another user")
	}
	if out, err := exec.Command("setpriv", fmt.Sprintf("--reuid=%d", nobody), "--clear-groups", "unshare", option, "true").CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("ordinary users cannot make user namespaces here: %v: %s", err, out))
	}
	server := exec.Command("setpriv", append([]string{
		fmt.Sprintf("--reuid=%d", nobody), fmt.Sprintf("--regid=%d", nobody), "--clear-groups", "unshare", option,
		"sh", "-c", script + ` && exec redis-server --save '' --dir / "$@"`, "sh",
	}, arguments...)...)
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // always an error: it was killed
	})
	require.Eventually(t, func() bool { return answers(server.Process) }, patience, 50*time.Millisecond, "redis-server does not answer")
	return server.Process
}

// An ordinary user who takes a configured address in a network namespace of his own takes its name too, unless
// that is not allowed. A server of the host keeps it.
func TestNetworkOfUserNamespace(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are those of one network namespace")
	const address = "127.9.0.1"
	r := mustRedis(t, "--bind", address)
	at := net.JoinHostPort(address, fmt.Sprint(r.Port))
	var forger *os.Process
	inside := func(run func()) { mustElsewhere(t, func() { mustNamespaceOf(t, forger) }, run) }
	forger = mustUserNamespace(t, "-Urn", "ip link set lo up", func(p *os.Process) (answers bool) {
		forger = p
		if namespaceOf(p) == namespaceOf(nil) {
			return false
		}
		inside(func() {
			conn, err := net.Dial("tcp", at)
			if answers = err == nil; answers {
				_ = conn.Close()
			}
		})
		return answers
	}, "--port", fmt.Sprint(r.Port), "--bind", address)

	var old *client
	inside(func() { old = mustDial(t, at) })
	old.mustDo("PING")
	const closed = address + ":1"
	names := fmt.Sprintf("\nendpoints:\n  - name: cache\n    addresses:\n      - %s\n      - %s\n", at, closed)
	refused := mustObserver(t, observing(r.Port)+"capture:\n  user_namespaces: unnamed"+names)
	allowed := mustObserver(t, observing(r.Port)+names)
	atServer := mustObserver(t, observing(1)+"default_name: rest\ncapture:\n  user_namespaces: unnamed"+names+"    role: server\n")
	time.Sleep(200 * time.Millisecond) // so that the next request is known to be the only one outstanding
	refused.mustSeePool("default", 1, 0)
	var fresh *client
	inside(func() {
		fresh = mustDial(t, at)
		_, err := net.Dial("tcp", closed)
		require.ErrorIs(t, err, unix.ECONNREFUSED)
	})
	honest := mustDial(t, at)
	for range 10 {
		old.mustDo("SET", "key", "value")
		fresh.mustDo("LLEN", "list")
		honest.mustDo("GET", "key")
	}
	allowed.assertCommands("cache", counts{"set": 10, "llen": 10, "get": 10})
	refused.assertCommands("cache", counts{"get": 10})
	refused.assertCommands("default", counts{"set": 10, "llen": 10})
	atServer.assertCommands("cache", counts{"get": 10})
	atServer.assertCommands("rest", counts{"set": 10, "llen": 10})
	for _, o := range []*observer{refused, allowed, atServer} {
		assertExact(t, o.mustScrape())
	}
	for o, name := range map[*observer]string{refused: "default", allowed: "cache"} {
		assert.Equal(t, 1, o.mustScrape().sum("redis_connect_failures_total", "name="+name, "reason=refused"), name)
	}
}

// namespaceOf returns the network namespace of a process, or of this one.
func namespaceOf(process *os.Process) string {
	path := "/proc/thread-self/ns/net" // that of the process is the main thread's, which another test may have taken elsewhere
	if process != nil {
		path = fmt.Sprintf("/proc/%d/ns/net", process.Pid)
	}
	namespace, _ := os.Readlink(path)
	return namespace
}

// So can he bind a configured path, below a root of his own. Unix sockets have no default name.
func TestPathOfUserNamespace(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are not those of Unix sockets")
	directory, err := os.MkdirTemp("/tmp", "userns") // that of t is closed to other users
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	require.NoError(t, os.Chown(directory, nobody, nobody))
	path := filepath.Join(directory, "redis.sock")
	mustUserNamespace(t, "-Ur", "true", func(*os.Process) bool {
		conn, err := net.Dial("unix", path)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, "--port", "0", "--unixsocket", path, "--unixsocketperm", "777")
	honest := filepath.Join(directory, "honest.sock")
	mustRedisOn(t, honest)
	const unnamed = "capture:\n  user_namespaces: unnamed\n"
	old := mustDialPath(t, path)
	old.mustDo([]byte("PING\r\n"), 1)
	var refused, allowed []*observer
	for _, role := range []string{"client", "server"} {
		config := observingPath(role, path, honest)
		refused, allowed = append(refused, mustObserver(t, unnamed+config)), append(allowed, mustObserver(t, config))
	}
	time.Sleep(200 * time.Millisecond)
	fresh, other := mustDialPath(t, path), mustDialPath(t, honest)
	for range 10 {
		old.mustDo(request("SET", "key", "value"), 1)
		fresh.mustDo(request("LLEN", "list"), 1)
		other.mustDo(request("GET", "key"), 1)
	}
	for _, o := range allowed {
		s := o.mustSee("all commands", func(s snapshot) bool { return s.pathCommands().total() >= 30 })
		assert.Equal(t, counts{"set": 10, "llen": 10, "get": 10}, s.pathCommands())
	}
	for _, o := range refused {
		s := o.mustSee("those of the host's server", func(s snapshot) bool { return s.pathCommands()["get"] >= 10 })
		assert.Equal(t, counts{"get": 10}, s.pathCommands())
	}
}
