package kit_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// mustServe answers each GET of one connection with a value of 3 bytes, after sleeping when the first arrived.
func mustServe(t *testing.T, sleep time.Duration) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		request := make([]byte, len("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"))
		for sleeps := sync.OnceFunc(func() { time.Sleep(sleep) }); ; {
			if _, err := io.ReadFull(conn, request); err != nil {
				return
			}
			sleeps()
			if _, err := io.WriteString(conn, "$3\r\nabc\r\n"); err != nil {
				return
			}
		}
	}()
	return listener.Addr().String()
}

// While the server sleeps nothing is left out: what was due meanwhile counts with its whole wait, in either loop.
func TestSteadyCountsWaits(t *testing.T) {
	const pause, rate = 200 * time.Millisecond, 1000
	for name, closed := range map[string]bool{"open": false, "closed": true} {
		t.Run(name, func(t *testing.T) {
			l := mustOpen(t, kit.Steady{Address: mustServe(t, pause), Connections: 1, Closed: closed, Key: "k", Value: "abc"})
			start := time.Now()
			latencies, err := l.Run(t.Context(), rate, 400)
			require.NoError(t, err)
			require.Len(t, latencies, 400)
			assert.GreaterOrEqual(t, time.Since(start), 399*time.Millisecond, "not before it is due")
			assert.GreaterOrEqual(t, latencies.Quantile(1), pause, "the first command waited for all of the pause")
			// A command was due in each of its milliseconds, and waited for the rest of it.
			assert.GreaterOrEqual(t, latencies.Quantile(0.76), pause/2)
		})
	}
}

// A second run goes on with the same connections, and counts its own commands only.
func TestSteadyRunsAgain(t *testing.T) {
	l := mustOpen(t, kit.Steady{Address: mustServe(t, 0), Connections: 1, Key: "k", Value: "abc"})
	for _, commands := range []int{3, 5} {
		latencies, err := l.Run(t.Context(), 1000, commands)
		require.NoError(t, err)
		assert.Len(t, latencies, commands)
	}
}

func TestSteadyFails(t *testing.T) {
	s := kit.Steady{Address: mustServe(t, time.Minute), Connections: 1, Key: "k", Value: "abc", Patience: 50 * time.Millisecond}
	_, err := mustOpen(t, s).Run(t.Context(), 1000, 3)
	assert.ErrorContains(t, err, "3 of 3 commands have no reply")
	s.Address, s.Value = mustServe(t, 0), "abd"
	l := mustOpen(t, s)
	_, err = l.Run(t.Context(), 0, 3)
	assert.ErrorContains(t, err, "want a rate")
	_, err = l.Run(t.Context(), 1000, 3)
	assert.ErrorContains(t, err, "not the value")
	_, err = kit.Steady{}.Open()
	assert.ErrorContains(t, err, "want connections")
}

func mustOpen(t *testing.T, s kit.Steady) *kit.SteadyLoad {
	t.Helper()
	l, err := s.Open()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	return l
}

func TestQuantile(t *testing.T) {
	l := kit.Latencies{1, 2, 3, 4}
	assert.Equal(t, []time.Duration{1, 2, 3, 4, 4}, []time.Duration{l.Quantile(0.01), l.Quantile(0.5), l.Quantile(0.51), l.Quantile(0.76), l.Quantile(1)})
}
