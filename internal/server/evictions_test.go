package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func peerNumber(i int) netip.Prefix { return peerOf(fmt.Sprintf("10.0.%d.%d:1", i/256, i%256)) }

// mustFill returns a full listener, with one connection per peer, oldest first, all settled.
func mustFill(now time.Time, each func(i int, g *limitedConn)) (*limitedListener, []*limitedConn) {
	c := newLimitedListener(nil, nil)
	all := make([]*limitedConn, maxConnections)
	for i := range all {
		all[i] = &limitedConn{Conn: &net.TCPConn{}, listener: c, peer: peerNumber(i), since: now.Add(time.Duration(i-maxConnections)*time.Millisecond - settleTime)}
		each(i, all[i])
		c.conns[all[i]] = struct{}{}
	}
	return c, all
}

func TestVictim(t *testing.T) {
	now := time.Now()
	answered := func(g *limitedConn) { g.asked, g.busy = true, 1 }
	t.Run("one that shakes hands stays where all others are answered", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) {
			if i > 0 {
				answered(g)
			}
		})
		assert.Same(t, all[1], c.victim(now))
	})
	t.Run("those who do not ask take places from themselves", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) {
			if i >= maxConnections-maxNewcomers-1 {
				return
			}
			answered(g)
		})
		assert.Same(t, all[maxConnections-maxNewcomers-1], c.victim(now))
	})
	t.Run("one that was answered goes first", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) {
			if g.asked = i == 50; i < 50 {
				answered(g)
			}
		})
		assert.Same(t, all[50], c.victim(now))
		all[50].since = now.Add(1 - settleTime)
		assert.Same(t, all[51], c.victim(now), "net/http may hold the end of the response")
	})
	t.Run("the peer with the most", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) { answered(g) })
		all[80].peer = all[90].peer
		assert.Same(t, all[80], c.victim(now))
	})
	t.Run("an idle one stays where another peer has more", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) {
			if answered(g); i == 0 {
				g.busy = 0
			}
		})
		assert.Same(t, all[0], c.victim(now))
		all[80].peer = all[90].peer
		assert.Same(t, all[80], c.victim(now))
		all[90].busy = 0
		assert.Same(t, all[90], c.victim(now), "of its peer the idle one")
	})
	t.Run("an idle one goes before an answering one of a peer with as few", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) {
			if i < 10 { // the peer with the most, safe for now
				g.peer = peerNumber(0)
			} else if answered(g); i == 50 {
				g.busy = 0
			}
		})
		assert.Same(t, all[50], c.victim(now))
	})
	t.Run("the peer with evictions", func(t *testing.T) {
		c, all := mustFill(now, func(i int, g *limitedConn) { answered(g) })
		c.evicted.add(all[70].peer, now)
		assert.Same(t, all[70], c.victim(now.Add(evictionTime-1)))
		assert.Same(t, all[0], c.victim(now.Add(evictionTime)), "forgotten")
	})
}

// A handler returns when the kernel has the response. Until the peer has it too, the connection is
// not idle: to evict it would discard the rest.
func TestUnreadResponseIsNotIdle(t *testing.T) {
	o := options()
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, sendBuffer/2)) })
	server, err := Listen(o)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		_ = server.http.Close() // the responses need not be read
		assert.NoError(t, <-served)
	})
	c := server.listener.(*limitedListener)
	asker := &net.Dialer{Control: func(_, _ string, socket syscall.RawConn) error {
		return socket.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}}
	mustAsk := func() (net.Conn, *limitedConn) {
		conn, err := asker.Dial("tcp", server.Address())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		ask(conn, "GET /metrics", 1)
		var asked *limitedConn
		require.Eventually(t, func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			for g := range c.conns {
				if g.RemoteAddr().String() == conn.LocalAddr().String() && g.asked && g.busy == 0 {
					asked = g
				}
			}
			return asked != nil
		}, 30*time.Second, time.Millisecond, "the handler did not return")
		return conn, asked
	}
	_, unread := mustAsk()
	conn, read := mustAsk()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	assert.EqualValues(t, sendBuffer/2, n)
	require.Eventually(t, func() bool { return read.idle(time.Now()) }, 30*time.Second, time.Millisecond)
	assert.False(t, unread.idle(time.Now()))
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.Same(t, read, c.victim(time.Now()), "though the other is older")
}

// A reader that takes its page piece by piece is evicted after those that wait longer.
func TestProgressOfReader(t *testing.T) {
	now := time.Now()
	c, all := mustFill(now, func(_ int, g *limitedConn) { g.asked, g.busy = true, 1 })
	page := bounded(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2*pieceSize)) }))
	taken := 0
	writer := pieceWriter{httptest.NewRecorder(), func() {
		expected := all[0]
		if taken++; taken > 1 {
			expected = all[1]
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		assert.Same(t, expected, c.victim(now), "before piece %d", taken)
	}}
	page.ServeHTTP(writer, httptest.NewRequestWithContext(withConn(t.Context(), all[0]), http.MethodGet, "/metrics", nil))
	assert.Equal(t, 2, taken)
}

type pieceWriter struct {
	http.ResponseWriter
	before func()
}

// Write implements http.ResponseWriter.
func (w pieceWriter) Write(b []byte) (int, error) {
	w.before()
	return w.ResponseWriter.Write(b)
}

func TestLossesAreBounded(t *testing.T) {
	now, l := time.Now(), evictions{}
	for i := range 3*evictionPeers + 1 {
		l.add(peerNumber(i), now)
		assert.LessOrEqual(t, len(l), evictionPeers)
		assert.Equal(t, 1, l.of(peerNumber(i), now))
	}
	l.add(peerNumber(3*evictionPeers), now)
	assert.Equal(t, 2, l.of(peerNumber(3*evictionPeers), now))
}
