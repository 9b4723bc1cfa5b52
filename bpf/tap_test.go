package bpf

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustEcho starts a server on the loopback that sends back what it receives, and returns its port.
func mustEcho(t *testing.T) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}) // by read and write, not splice
				_ = conn.Close()
			}()
		}
	}()
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

// echo sends a line on a connection and waits for it to come back.
func echo(conn net.Conn) error {
	const line = "*1\r\n$4\r\nPING\r\n"
	if _, err := io.WriteString(conn, line); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len(line)))
	return err
}

// observed is what the probes reported of one connection.
type observed struct {
	opened, closed int
	bytes, next    [2]uint32 // of what was sent and what was received
	holes          int
}

// reading reads probes in a goroutine of its own until they are closed.
type reading struct {
	lock        sync.Mutex
	connections map[uint16]*observed // by local port
	done        <-chan struct{}
}

func read(t *testing.T, probes *Probes) *reading {
	r := &reading{connections: make(map[uint16]*observed)}
	r.done = readEach(t, probes, r.note)
	return r
}

// readEach reads probes in a goroutine of its own until they are closed, and releases them. Then it
// closes done.
func readEach(t *testing.T, probes *Probes, note func(*Event, []byte)) (done <-chan struct{}) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer probes.Release()
		for {
			event, payload, err := probes.Next()
			if err != nil {
				assert.ErrorIs(t, err, os.ErrClosed)
				return
			}
			if event != nil {
				note(event, payload)
			} else if !assert.NoError(t, probes.Wait(true)) {
				return
			}
		}
	}()
	return over
}

func (r *reading) note(event *Event, payload []byte) {
	r.lock.Lock()
	defer r.lock.Unlock()
	c := r.connections[event.LocalPort]
	if c == nil {
		c = new(observed)
		r.connections[event.LocalPort] = c
	}
	switch event.Kind {
	case Opened:
		c.opened++
	case Closed:
		c.closed++
	case Sent, Received:
		i := int(event.Kind - Sent)
		if c.bytes[i] > 0 && event.Seq != c.next[i] {
			c.holes++
		}
		c.bytes[i] += uint32(len(payload))
		c.next[i] = event.Seq + uint32(len(payload))
	}
}

// of returns what was reported of a connection so far.
func (r *reading) of(conn net.Conn) observed {
	r.lock.Lock()
	defer r.lock.Unlock()
	if c := r.connections[uint16(conn.LocalAddr().(*net.TCPAddr).Port)]; c != nil {
		return *c
	}
	return observed{}
}

// A tap can be attached to running probes and detached, repeatedly, while the events of another tap
// continue without a loss.
func TestTapAttachedLate(t *testing.T) {
	probes := mustOpen(t)
	port := mustEcho(t)
	require.NoError(t, probes.SetPorts([]uint16{port}, nil))
	reading := read(t, probes)
	dial := func() net.Conn {
		conn, err := net.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
		require.NoError(t, err)
		return conn
	}

	busy := dial()
	stop, rounds := make(chan struct{}), make(chan uint32, 1)
	go func() {
		for n := uint32(0); ; n++ {
			select {
			case <-stop:
				rounds <- n
				return
			case <-time.After(300 * time.Microsecond):
				if !assert.NoError(t, echo(busy)) {
					rounds <- n
					return
				}
			}
		}
	}()

	// short opens a connection, uses it and closes it, and waits until its reply is reported.
	short := func() net.Conn {
		conn := dial()
		require.NoError(t, echo(conn))
		require.NoError(t, conn.Close())
		require.Eventually(t, func() bool { return reading.of(conn).bytes[1] > 0 }, 10*time.Second, time.Millisecond)
		return conn
	}
	life := probes.attached[0]
	var unseen []net.Conn
	for range 5 {
		require.NoError(t, probes.detach(life))
		require.NoError(t, probes.detach(life), "a second time")
		unseen = append(unseen, short())

		var err error
		life, err = probes.attach(probes.owned.life)
		require.NoError(t, err)
		again, err := probes.attach(probes.owned.life)
		require.NoError(t, err, "the same tap a second time")
		seen := short()
		require.Eventually(t, func() bool { return reading.of(seen).closed > 0 }, 10*time.Second, time.Millisecond)
		require.NoError(t, probes.detach(again))
		assert.Equal(t, 1, reading.of(seen).opened, "while it is attached twice")
		assert.Equal(t, 1, reading.of(seen).closed)
	}
	close(stop)
	sent := 14 * <-rounds
	require.Eventually(t, func() bool { return reading.of(busy).bytes[1] >= sent }, 10*time.Second, time.Millisecond)
	require.NoError(t, busy.Close())
	lost, err := probes.Lost()
	require.NoError(t, err)
	require.NoError(t, probes.Close())
	<-reading.done

	for _, conn := range unseen {
		assert.Zero(t, reading.of(conn).opened, "while the tap was detached")
	}
	assert.NotZero(t, sent)
	assert.Equal(t, [2]uint32{sent, sent}, reading.of(busy).bytes)
	assert.Zero(t, reading.of(busy).holes)
	assert.Zero(t, lost["ring_full"])
}

// The end of a call makes up for a missed start, so a start has fewer duplicates than the rest.
func TestStartDuplicates(t *testing.T) {
	for _, b := range backends {
		sockets := &tap{hooks: b.hooks, starts: b.starts}
		for _, h := range b.hooks {
			assert.True(t, sockets.has(h.program, startDuplicates-1), h.program)
			assert.Equal(t, !slices.Contains(b.starts, h.program), sockets.has(h.program, startDuplicates), h.program)
		}
		assert.Less(t, len(b.starts), len(b.hooks), "the end of a call has all duplicates")
		assert.False(t, sockets.has(observerProgConnectionState, 0))
	}
}
