package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// What the manifests give the observer, and what it keeps at most then (docs/security.md).
const (
	shippedMemory = 256 << 20
	shippedTable  = 65_536
	shippedPlaces = 1_048_576
	hostileCrowd  = shippedTable + 4_000 // connections
	wellBehaved   = 4_000                // commands
)

// In a memory cgroup of the size that is shipped, an observer of which everything is taken that can be taken stays alive, and one
// well-behaved connection is exact.
func TestWorstStateInTheShippedMemory(t *testing.T) {
	RequireProbes(t, "packets of so many connections are not all seen")
	bad, crowded, good := mustPort(t), mustPort(t), mustPort(t)
	configuration := fmt.Sprintf("ports: [%d, %d]\ndefault_name: bad\nendpoints: [{name: good, addresses: [\"*:%d\"]}]\n", bad, crowded, good)
	o, err := kit.StartObserver(kit.ObserverOptions{
		Program: shippedBinary, Port: mustPort(t), Configuration: configuration, MemoryLimit: shippedMemory,
	})
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		skip(t, fmt.Sprintf("no memory cgroup: %v", err))
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		t.Logf("peak %d MiB", o.PeakMemory()>>20)
		assert.NoError(t, o.Stop())
		if t.Failed() {
			t.Log(o.Log())
		}
	})

	h := newHostile(t, bad)
	ping := mustEcho(t, good)
	mustCrowd(t, crowded, hostileCrowd)
	h.floods(t, 4)
	h.unasked(t, 32)
	h.scrapes(o)
	for range wellBehaved {
		require.NoError(t, ping())
		time.Sleep(time.Millisecond)
	}
	s, err := o.Await(settled, func(s kit.Samples) bool { return s.Sum("redis_commands_total", "name=good") >= wellBehaved })
	require.NoError(t, err)
	assert.Equal(t, float64(wellBehaved), s.Sum("redis_commands_total", "name=good"))
	assert.Zero(t, s.Sum("redis_observer_unpaired_commands_total", "name=good"))
	assert.Equal(t, float64(shippedTable), s.Sum("redis_observer_tracked_connections"), "the table is full")
	assert.NotZero(t, s.Sum("redis_observer_evicted_connections_total"))
	assert.NotZero(t, s.Sum("redis_observer_unpaired_commands_total", "name=bad", "reason=overflow"), "all places are taken")
	assert.True(t, o.Running())
}

// hostile is what makes trouble: its server, and all connections to it, which are closed at the end of the test.
type hostile struct {
	port  int
	done  chan struct{}
	group sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

func newHostile(tb testing.TB, port int) *hostile {
	tb.Helper()
	h := &hostile{port: port, done: make(chan struct{})}
	listener, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
	require.NoError(tb, err)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			h.keep(c)
			go func() { _, _ = io.Copy(io.Discard, c) }()
			if c.LocalAddr().(*net.TCPAddr).IP.To4()[2] == 3 {
				h.group.Go(func() { h.answerUnasked(c) })
			}
		}
	}()
	tb.Cleanup(func() {
		close(h.done)
		_ = listener.Close()
		h.mu.Lock()
		for _, c := range h.conns {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
		h.mu.Unlock()
		h.group.Wait()
	})
	return h
}

func (h *hostile) keep(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, c)
}

func (h *hostile) dial(third, fourth int) (net.Conn, error) {
	c, err := net.Dial("tcp4", fmt.Sprintf("127.0.%d.%d:%d", third, fourth, h.port))
	if err == nil {
		h.keep(c)
	}
	return c, err
}

// floods sends on few connections more than all places, none of it alike.
func (h *hostile) floods(tb testing.TB, n int) {
	tb.Helper()
	part := []byte(strings.Repeat(string(resp.Request("SET", "key", "value"))+string(resp.Request("GET", "key")), 200))
	for range n {
		c, err := h.dial(2, 1)
		require.NoError(tb, err)
		h.group.Go(func() {
			for range shippedPlaces / 2 / 400 {
				if _, err := c.Write(part); err != nil {
					return
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
}

// unasked lets the server send replies that answer nothing, each of which waits for its request.
func (h *hostile) unasked(tb testing.TB, n int) {
	tb.Helper()
	for range n {
		c, err := h.dial(3, 1)
		require.NoError(tb, err)
		_, err = c.Write(resp.Request("PING"))
		require.NoError(tb, err)
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
}

func (h *hostile) answerUnasked(c net.Conn) {
	replies := []byte(strings.Repeat("+PONG\r\n", 1000))
	for {
		select {
		case <-h.done:
			return
		case <-time.After(20 * time.Millisecond):
			if _, err := c.Write(replies); err != nil {
				return
			}
		}
	}
}

// scrapes asks for the metrics all the time.
func (h *hostile) scrapes(o *kit.Observer) {
	for range 2 {
		h.group.Go(func() {
			for {
				select {
				case <-h.done:
					return
				case <-time.After(100 * time.Millisecond):
					_, _ = o.Scrape() // it may be refused
				}
			}
		})
	}
}

// mustEcho returns what sends a PING on a connection of its own and waits for the reply.
func mustEcho(tb testing.TB, port int) func() error {
	tb.Helper()
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(tb, err)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		request := resp.Request("PING")
		for {
			if _, err := io.ReadFull(c, request); err != nil {
				return
			}
			if _, err := c.Write([]byte("+PONG\r\n")); err != nil {
				return
			}
		}
	}()
	c, err := net.Dial("tcp4", listener.Addr().String())
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Close(); _ = listener.Close() })
	reader := bufio.NewReader(c)
	return func() error {
		if _, err := c.Write(resp.Request("PING")); err != nil {
			return err
		}
		_, err := reader.ReadString('\n')
		return err
	}
}
