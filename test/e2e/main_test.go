package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// The observer under test: with the race detector, and as it is shipped, where the test is about keeping up.
var raceBinary, plainBinary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "redis-observer-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for the binary:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	raceBinary, plainBinary = filepath.Join(dir, "redis-observer-race"), filepath.Join(dir, "redis-observer")
	if err := errors.Join(build(raceBinary, "-race"), build(plainBinary)); err != nil {
		fmt.Fprintln(os.Stderr, "build the observer:", err)
		return 1
	}
	return m.Run()
}

func build(path string, flags ...string) error {
	command := exec.Command("go", append([]string{"build", "-o", path}, append(flags, "../../cmd/redis-observer")...)...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	return command.Run()
}

// RequireBPF skips the test on a machine that cannot run the observer. It fails if the machine has all that is needed, or if
// REDIS_OBSERVER_TEST_REQUIRE is 1.
func RequireBPF(tb testing.TB) {
	tb.Helper()
	unfit := verdict()
	switch {
	case unfit == nil:
	case unfit.needed || os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") == "1":
		tb.Fatal(unfit.reason)
	default:
		tb.Skip(unfit.reason)
	}
}

// unfitness is why tests cannot run on this machine.
type unfitness struct {
	reason string
	needed bool // they should be able to
}

// verdict asks the observer once.
var verdict = sync.OnceValue(func() *unfitness {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return &unfitness{reason: "redis-server is not installed (make test installs it)"}
	}
	output, err := exec.Command(raceBinary, "check", "--output", "json").Output()
	if err == nil {
		return nil
	}
	var check struct {
		Kernel struct {
			BTF          string
			RingBuffer   string `json:"ring_buffer"`
			Capabilities []string
		}
	}
	if err := json.Unmarshal(output, &check); err != nil {
		return &unfitness{fmt.Sprintf("redis-observer check says nothing that can be read: %v: %s", err, output), true}
	}
	k := check.Kernel
	allowed := slices.Contains(k.Capabilities, "CAP_SYS_ADMIN") ||
		slices.Contains(k.Capabilities, "CAP_BPF") && slices.Contains(k.Capabilities, "CAP_PERFMON")
	return &unfitness{
		reason: fmt.Sprintf("redis-observer check: %v: %s", err, output),
		needed: allowed && k.BTF == "yes" && k.RingBuffer == "yes",
	}
})

const firstPort, lastPort = 25000, 25999

var lastGiven atomic.Int32

// mustPort returns a port that nobody listens on.
func mustPort(tb testing.TB) int {
	tb.Helper()
	listener := mustListener(tb)
	require.NoError(tb, listener.Close())
	return listener.Addr().(*net.TCPAddr).Port
}

// mustListener listens on a port. Two runs of the tests at once start at different places.
func mustListener(tb testing.TB) net.Listener {
	tb.Helper()
	lastGiven.CompareAndSwap(0, rand.Int32N(lastPort-firstPort))
	for range lastPort - firstPort {
		port := firstPort + int(lastGiven.Add(1))%(lastPort-firstPort+1)
		if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return listener
		}
	}
	require.FailNow(tb, "no port is free")
	return nil
}
