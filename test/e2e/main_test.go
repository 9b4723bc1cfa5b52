package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// The observer under test: with the race detector if the tests are, and as it is shipped, where the test is about keeping up or about
// privileges, which a program with cgo cannot drop.
var raceBinary, shippedBinary string

// builtVariable has the path of the observer that was built, in a run of this program by one of its tests.
const builtVariable = "REDIS_OBSERVER_TEST_BUILT"

func TestMain(m *testing.M) {
	if os.Getenv(crowdVariable) != "" {
		os.Exit(beCrowd())
	}
	if os.Getenv(victimVariable) != "" {
		fmt.Fprintln(os.Stderr, "not killed:", beVictim())
		os.Exit(1)
	}
	if raceBinary = os.Getenv(builtVariable); raceBinary != "" {
		os.Exit(m.Run())
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "redis-observer-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for the binary:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	raceBinary, shippedBinary = filepath.Join(dir, "redis-observer-race"), filepath.Join(dir, "redis-observer")
	if err := errors.Join(buildLikeTests(raceBinary), kit.BuildObserver(shippedBinary)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Of the observers. A tenth of a second for what still runs when main returns; one second for each end would be minutes of waiting.
	if err := os.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=100"); err != nil {
		fmt.Fprintln(os.Stderr, "set GORACE:", err)
		return 1
	}
	return m.Run()
}

// buildLikeTests compiles the observer with the flags of the tests, so that the cache has most of it.
func buildLikeTests(path string) error {
	command := exec.Command("go", slices.Concat([]string{"build", "-o", path}, raceFlags, []string{"-pgo=off", "-ldflags=-s -w", "../../cmd/redis-observer"})...)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the observer: %w\n%s", err, output)
	}
	return nil
}

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
