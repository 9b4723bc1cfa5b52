package capture_test

import (
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/event"
)

// mustConnect makes n connections to a port that it returns.
func mustConnect(t *testing.T, n int) (port uint16) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, listener.Close()) })
	for range n {
		c, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, c.Close()) })
	}
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

// Whoever waits for Listed reads counters at once. They are published at each Tick, so the one behind
// the listing must have been handled by then, and not be on its way from Read to its recipient.
func TestListedFollowsTheTick(t *testing.T) {
	for _, backend := range []string{capture.Auto, packet.Backend} {
		t.Run(backend, func(t *testing.T) {
			if backend == capture.Auto {
				requireProbes(t)
			}
			const connections = 3
			live, err := capture.Open(t.Context(), capture.Options{
				Backend: backend, RingSize: 1 << 20, FlushInterval: time.Millisecond, MaxBytesPerCall: 4096,
				ClientPorts: []uint16{mustConnect(t, connections)},
				Resolve:     func(event.Role, *event.Endpoints) bool { return true },
				Logger:      slog.New(slog.DiscardHandler),
			})
			if backend == packet.Backend && err != nil && os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") == "" {
				t.Skip(err)
			}
			require.NoError(t, err)
			defer end(t, live)
			found, published := make(map[uint64]struct{}), 0 // a connection may be shown twice
			var e event.Event
			for deadline := time.Now().Add(20 * time.Second); ; {
				require.True(t, time.Now().Before(deadline), "not listed")
				require.NoError(t, live.Read(&e))
				select {
				case <-live.Listed():
					assert.Equal(t, connections, published)
					return
				default:
				}
				switch e.Kind {
				case event.Existing:
					found[e.Conn] = struct{}{}
				case event.Tick, event.Listed:
					published = len(found)
				}
			}
		})
	}
}
