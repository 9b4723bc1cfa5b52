package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Addresses and ports of Services in the namespace of TestTranslation.
const (
	cacheAt, cachePort = "10.96.0.10", 6380
	queueAt, queuePort = "10.96.0.11", 6381
)

// scarcePorts are so few that clients of the two Services get the same ones. Translated, their connections would have the same
// addresses and ports, so the kernel gives the later one another port of the client on the way, which its socket does not show.
const scarcePorts = "40000 40199"

// TestTranslation: connections to Services whose address the kernel translates to that of a backend on the
// way out (DNAT in the OUTPUT chain) count under the names of the Services, though no request shows these:
// on loopback, only the replies do. It runs in a network namespace of its own, by running this program again.
func TestTranslation(t *testing.T) {
	if os.Getenv(builtVariable) == "" {
		t.Parallel()
		if _, err := exec.LookPath("nft"); err != nil {
			skip(t, "needs nft: apt-get install nftables")
		}
		runElsewhere(t, "TestTranslation")
		return
	}
	mustRaiseLoopback(t)
	require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte(scarcePorts), 0))
	r := mustRedis(t)
	mustTranslate(t, r.Port)
	cache, queue := fmt.Sprintf("%s:%d", cacheAt, cachePort), fmt.Sprintf("%s:%d", queueAt, queuePort)
	old := mustDial(t, cache)
	old.mustDo("PING")
	r.mustResetStats()
	o := mustObserver(t, observing(r.Port, cachePort, queuePort)+fmt.Sprintf(`
capture: {backend: packet}
endpoints:
  - {name: cache, addresses: ["%s"]}
  - {name: queue, addresses: ["%s"]}
`, cache, queue))
	time.Sleep(200 * time.Millisecond) // so that the next request is known to be the only one outstanding

	fresh := mustDial(t, cache)
	for range 20 {
		old.mustDo("SET", "key", "value")
		fresh.mustDo("GET", "key")
	}
	for range 50 {
		short := mustDial(t, cache)
		short.mustDo("INCR", "number")
		short.mustDo("QUIT") // the server closes, so nothing is left of the client's socket
		require.NoError(t, short.Close())
	}
	o.assertCommands("cache", counts{"set": 20, "get": 20, "incr": 50, "quit": 50})
	o.mustSeePool("cache", 2, 0)

	direct, other := mustDial(t, r.Address()), mustDial(t, queue)
	for range 20 {
		direct.mustDo("PING")
		other.mustDo("LPUSH", "list", "value")
		fresh.mustDo("GET", "key")
	}
	for range 50 {
		short := mustDial(t, queue)
		short.mustDo("LLEN", "list")
		require.NoError(t, short.Close())
	}
	o.assertCommands("default", counts{"ping": 20})
	o.assertCommands("queue", counts{"lpush": 20, "llen": 50})
	o.assertCommands("cache", counts{"set": 20, "get": 40, "incr": 50, "quit": 50})
	require.NoError(t, old.Close())
	fresh.mustReset()
	o.mustSeePool("cache", 0, 0)
	assertExact(t, o.mustSee("the ends of all but two", func(s snapshot) bool {
		return s.value("redis_observer_tracked_connections") == 2
	}))
}

// runElsewhere runs a test of this program in a network namespace of its own.
func runElsewhere(t *testing.T, name string) {
	t.Helper()
	RequireObserver(t)
	if err := unshareable(); err != nil {
		skip(t, "needs CAP_SYS_ADMIN to make a network namespace: "+err.Error())
	}
	command := exec.Command(os.Args[0], "-test.v", "-test.run", "^"+name+"$")
	command.Env = append(os.Environ(), builtVariable+"="+raceBinary)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.NotContains(t, string(output), "--- SKIP", "what the test needs is there")
}

// mustTranslate has the kernel translate the addresses of the Services to that of a server.
func mustTranslate(t *testing.T, port int) {
	t.Helper()
	mustRunAll(t, [][]string{
		{"ip", "address", "add", "10.244.2.1/32", "dev", "lo"},
		{"ip", "route", "add", "10.96.0.0/16", "dev", "lo", "src", "10.244.2.1"},
		{"nft", "add table ip nat"},
		{"nft", "add chain ip nat output { type nat hook output priority -100; }"},
		{"nft", fmt.Sprintf("add rule ip nat output ip daddr %s tcp dport %d dnat to 127.0.0.1:%d", cacheAt, cachePort, port)},
		{"nft", fmt.Sprintf("add rule ip nat output ip daddr %s tcp dport %d dnat to 127.0.0.1:%d", queueAt, queuePort, port)},
	})
}

// mustRunAll runs commands one after the other.
func mustRunAll(tb testing.TB, commands [][]string) {
	tb.Helper()
	for _, command := range commands {
		output, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		require.NoError(tb, err, "%v: %s", command, output)
	}
}
