package packet_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/event"
)

func mustCapture(t *testing.T, interfaces ...string) *packet.Live {
	t.Helper()
	p, err := packet.Open(packet.Options{
		RingSize: 1 << 20, FlushInterval: time.Millisecond, MaxBytesPerCall: 1 << 12, Interfaces: interfaces,
		Resolve: func(event.Role, *event.Endpoints) bool { return true },
		Logger:  slog.New(slog.DiscardHandler),
	})
	if errors.Is(err, os.ErrPermission) && os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	return p
}

// TestPacketsOnLoopback: loopback shows each packet twice, and it must count once.
func TestPacketsOnLoopback(t *testing.T) {
	for _, interfaces := range [][]string{nil, {"lo"}} {
		p := mustCapture(t, interfaces...)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, p.SetPorts([]uint16{uint16(listener.Addr().(*net.TCPAddr).Port)}, nil))
		go func() {
			c, err := listener.Accept()
			if err == nil {
				_, _ = io.Copy(c, c) // until the client leaves
				_ = c.Close()
			}
		}()
		c, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		echo := make([]byte, 10000)
		_, err = c.Write(echo)
		require.NoError(t, err)
		_, err = io.ReadFull(c, echo)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, listener.Close())
		require.NoError(t, p.Close())

		var bytes [2]int
		kinds := map[event.Kind]int{}
		var e event.Event
		for err = p.Read(&e); err == nil; err = p.Read(&e) {
			kinds[e.Kind]++
			bytes[e.Direction] += len(e.Data) + int(e.Len)
		}
		assert.ErrorIs(t, err, os.ErrClosed)
		assert.Equal(t, [2]int{len(echo), len(echo)}, bytes)
		for _, kind := range []event.Kind{event.Open, event.HalfClosed, event.PeerClosed} {
			assert.Equal(t, 1, kinds[kind], kind)
		}
		assert.Zero(t, p.Stats().Lost["ring_full"])
		require.NoError(t, p.Close(), "twice is no fault")
	}
}

// TestDropsAreCounted: packets that do not fit into the ring are counted, and those in it can be
// read.
func TestDropsAreCounted(t *testing.T) {
	p := mustCapture(t, "lo")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	require.NoError(t, p.SetPorts([]uint16{uint16(listener.Addr().(*net.TCPAddr).Port)}, nil))
	received := make(chan int64)
	go func() {
		var n int64
		if c, err := listener.Accept(); err == nil {
			n, _ = io.Copy(io.Discard, c) // until the client leaves
			_ = c.Close()
		}
		received <- n
	}()
	c, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	const sent = 16 << 20 // of which the ring holds a part
	_, err = c.Write(make([]byte, sent))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.EqualValues(t, sent, <-received)
	assert.NotZero(t, p.Stats().Lost["ring_full"])
	require.NoError(t, p.Close())

	seen := 0
	var e event.Event
	for err = p.Read(&e); err == nil; err = p.Read(&e) {
		seen += len(e.Data)
	}
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.NotZero(t, seen)
	assert.Less(t, seen, sent)
}

func TestPacketsOfNoInterface(t *testing.T) {
	require.NoError(t, mustCapture(t).Close()) // or skip
	_, err := packet.Open(packet.Options{RingSize: 1 << 20, Interfaces: []string{"nonesuch0"}, Logger: slog.New(slog.DiscardHandler)})
	assert.ErrorContains(t, err, `interface "nonesuch0"`)
}
