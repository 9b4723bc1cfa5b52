package packets

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

const (
	redisPort               = 22500
	cacheAt                 = "127.0.0.1"
	sessionsAt              = "127.0.0.2"
	probesPort, packetsPort = 22501, 22502
	patience                = 20 * time.Second
	libraries               = "/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu"
	cachedDump              = "../../.cache/tcpdump"
)

// skipUnless skips the test where something that it needs is not there, or fails if it must not be skipped.
func skipUnless(tb testing.TB, there bool, what string) {
	tb.Helper()
	switch {
	case there:
	case os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") == "1":
		tb.Fatal("needs " + what)
	default:
		tb.Skip("needs " + what)
	}
}

// tcpdump returns the command, from the PATH or from where test/unpack.sh put it.
func tcpdump(tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	path, err := exec.LookPath("tcpdump")
	if err == nil {
		return exec.Command(path, args...)
	}
	root, err := filepath.Abs(cachedDump)
	require.NoError(tb, err)
	path = filepath.Join(root, "usr/bin/tcpdump")
	_, err = os.Stat(path)
	skipUnless(tb, err == nil, "tcpdump: make test unpacks it")
	command := exec.Command(path, args...)
	command.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.ReplaceAll(root+libraries, ":", ":"+root))
	return command
}

// mustStart starts a process that ends with the test.
func mustStart(tb testing.TB, command *exec.Cmd) *kit.Process {
	tb.Helper()
	p, err := kit.Start(command, nil)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		_ = p.Stop(syscall.SIGKILL) // it may have ended
		if tb.Failed() {
			tb.Logf("%s:\n%s", filepath.Base(command.Path), p.Output)
		}
	})
	return p
}

// mustEnd asks a process to end, and waits until it has.
func mustEnd(tb testing.TB, p *kit.Process) {
	tb.Helper()
	require.NoError(tb, p.Stop(syscall.SIGINT))
	require.Zero(tb, p.ExitCode())
}

// mustObserve starts an observer of the test's configuration that ends with the test.
func mustObserve(tb testing.TB, program, configuration string, port int, environment ...string) *kit.Observer {
	tb.Helper()
	o, err := kit.StartObserver(kit.ObserverOptions{
		Program: program, Port: port, Configuration: configuration,
		Prepare: func(command *exec.Cmd) { command.Env = append(kit.Environment(), environment...) },
	})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("observer:\n%s", o.Log())
		}
		assert.NoError(tb, o.Stop())
	})
	return o
}

func mustRun(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	command := exec.Command(name, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	require.NoError(tb, err, "%s %v: %s", name, args, stderr.String())
	return string(output)
}

// counts are the commands by "name command status", or without the name.
type counts map[string]int

// lossFamilies are the counters that must stay at zero.
var lossFamilies = []string{
	"redis_observer_capture_lost_events_total", "redis_observer_unpaired_commands_total", "redis_observer_held_overflow_total",
	"redis_observer_lost_connections_total", "redis_observer_gaps_total",
}

// commandsIn returns the counts of a scrape.
func commandsIn(s kit.Samples) counts {
	found := counts{}
	for name := range s.By("name", "redis_commands_total") {
		for _, status := range []string{"success", "error"} {
			for command, n := range s.By("command", "redis_commands_total", "name="+name, "status="+status) {
				if n > 0 {
					found[name+" "+command+" "+status] = int(n)
				}
			}
		}
	}
	return found
}

// ofAllNames adds up the counts of all names: Redis knows of none.
func (c counts) ofAllNames() counts {
	sum := counts{}
	for key, n := range c {
		_, command, _ := strings.Cut(key, " ")
		sum[command] += n
	}
	return sum
}

// truth returns what Redis counted, but for what the test itself asked it over its Unix socket.
func truth(calls map[string]kit.Count) counts {
	found := counts{}
	for command, c := range calls {
		if c.Calls > c.Errors {
			found[command+" success"] = int(c.Calls - c.Errors)
		}
		if c.Errors > 0 {
			found[command+" error"] = int(c.Errors)
		}
	}
	return found
}
