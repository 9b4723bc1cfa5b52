package capture_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/test/kit"
)

// mustLimitFiles leaves this process no more descriptors than n beyond those that it has open,
// until the function that it returns is called.
func mustLimitFiles(t *testing.T, n int) (restore func()) {
	t.Helper()
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	next, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Close(next))
	few := unix.Rlimit{Cur: uint64(next + n), Max: limit.Max}
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	var once sync.Once
	restore = func() { once.Do(func() { assert.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) }) }
	t.Cleanup(restore)
	return restore
}

// mustLive opens the probes, with their log.
func mustLive(ctx context.Context) (capture.Source, *kit.Output, error) {
	log := new(kit.Output)
	live, err := capture.Open(ctx, capture.Options{
		Backend: capture.Auto, RingSize: 1 << 20, FlushInterval: time.Millisecond, MaxBytesPerCall: 4096, ClientPorts: []uint16{6379},
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	return live, log, err
}

// end closes a source and reads it to its end.
func end(t *testing.T, live capture.Source) {
	t.Helper()
	require.NoError(t, live.Close())
	var e event.Event
	for {
		if err := live.Read(&e); err != nil {
			require.ErrorIs(t, err, os.ErrClosed)
			return
		}
	}
}

func requireProbes(t *testing.T) {
	t.Helper()
	live, _, err := mustLive(t.Context())
	required := os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") == "1"
	if err != nil && !required {
		t.Skipf("no backend works here: %v", err)
	}
	require.NoError(t, err)
	end(t, live)
	if live.Backend() == packet.Backend && !required {
		t.Skip("needs the probes (CAP_BPF and CAP_PERFMON)")
	}
	require.NotEqual(t, packet.Backend, live.Backend())
}

// A lack of descriptors does not make Open skip a backend.
func TestShortageAtTheStart(t *testing.T) {
	requireProbes(t)
	for _, left := range []int{0, 2, 10, 20, 40, 60} {
		restore := mustLimitFiles(t, left)
		time.AfterFunc(300*time.Millisecond, restore)
		live, log, err := mustLive(t.Context())
		require.NoError(t, err, "%d left", left)
		assert.Contains(t, capture.Backends(), live.Backend())
		assert.True(t, left > 20 || strings.Contains(log.String(), "cannot attach probes yet; retrying"), "%d left", left)
		end(t, live)
	}
}

func TestShortageEndsWithTheContext(t *testing.T) {
	requireProbes(t)
	mustLimitFiles(t, 5)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, _, err := mustLive(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// A listing that fails for lack of descriptors is retried.
func TestShortageAtAListing(t *testing.T) {
	requireProbes(t)
	live, log, err := mustLive(t.Context())
	require.NoError(t, err)
	var e event.Event
	read := func(until func() bool) {
		for deadline := time.Now().Add(20 * time.Second); !until(); {
			require.True(t, time.Now().Before(deadline))
			require.NoError(t, live.Read(&e))
		}
	}
	listed := func() bool { return e.Kind == event.Listed }
	read(listed)
	restore := mustLimitFiles(t, 0)
	begun := e.Time
	require.NoError(t, live.SetPorts([]uint16{6379, 6380}, nil))
	read(func() bool { return strings.Contains(log.String(), "cannot list all connections") })
	restore()
	e = event.Event{} // the last event read may be an earlier Listed
	read(listed)
	assert.Greater(t, e.Time, begun)
	end(t, live)
}
