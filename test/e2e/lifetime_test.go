package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// signalRounds is how often a signal comes at a random moment: REDIS_OBSERVER_TEST_SIGNALS, which `make test-lifetimes` sets to 500.
// By default each binary gets each signal once in each of the observers that run side by side.
func signalRounds(tb testing.TB) int {
	tb.Helper()
	text := os.Getenv("REDIS_OBSERVER_TEST_SIGNALS")
	if text == "" {
		return 8
	}
	rounds, err := strconv.Atoi(text)
	require.NoError(tb, err)
	return rounds
}

// mustOpenFiles makes this process one that it takes milliseconds to list.
func mustOpenFiles(tb testing.TB, n uint64) {
	tb.Helper()
	var limit syscall.Rlimit
	require.NoError(tb, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur < n+500 {
		wanted := syscall.Rlimit{Cur: n + 500, Max: max(limit.Max, n+500)}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &wanted); err != nil {
			n = limit.Cur - 500
			tb.Logf("beside %d open files only: %v", n, err)
		} else {
			tb.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) })
		}
	}
	for range n {
		file, err := os.Open(os.DevNull)
		require.NoError(tb, err)
		tb.Cleanup(func() { _ = file.Close() })
	}
}

// mustLaunch starts the observer and waits until it says something, not until it is ready.
func (o *observer) mustLaunch(word string) {
	o.tb.Helper()
	require.NoError(o.tb, o.Spawn())
	for deadline := time.Now().Add(startTime); !strings.Contains(o.Log(), word); time.Sleep(500 * time.Microsecond) {
		require.True(o.tb, o.Running() && time.Now().Before(deadline), "it does not say %q: %s", word, o.Log())
	}
}

// lifetimes is how many observers begin and end side by side: most of the time they wait for the kernel.
const lifetimes = 4

// A signal in any moment from the attaching of the probes on, most of them while the connections are being listed: SIGTERM ends the observer in good
// order, and SIGHUP does not.
func TestSignalsAtAnyMoment(t *testing.T) {
	RequireProbes(t, "it is about their listing")
	mustOpenFiles(t, 20000)
	rounds := signalRounds(t)
	t.Run("at once", func(t *testing.T) { // it ends when all of them have
		for i := range lifetimes {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				o := mustPrepare(t, observing(mustPort(t)))
				for round := i; round < rounds; round += lifetimes {
					// Half of the rounds are for each binary, whatever their number.
					o.Options.Program = []string{shippedBinary, raceBinary}[round/lifetimes%2]
					testLifetime(o, syscall.SIGTERM)
					testLifetime(o, syscall.SIGHUP)
				}
			})
		}
	})
}

func testLifetime(o *observer, signal syscall.Signal) {
	o.tb.Helper()
	o.mustLaunch("probes attached")
	moment := time.Duration(rand.Int64N(int64(12 * time.Millisecond)))
	time.Sleep(moment)
	if signal == syscall.SIGHUP { // SIGTERM follows anyway, once: a second one ends the process at once
		o.mustSignal(signal)
		time.Sleep(time.Duration(rand.Int64N(int64(30 * time.Millisecond))))
		require.True(o.tb, o.Running(), "SIGHUP after %s: %s", moment, o.Log())
	}
	require.Equal(o.tb, 0, o.mustStop(syscall.SIGTERM), "%s after %s: %s", signal, moment, o.Log())
	assert.NotContains(o.tb, o.Log(), "DATA RACE")
}
