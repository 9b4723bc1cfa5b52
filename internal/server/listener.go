package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of connections. The send buffer is kernel memory, charged to the cgroup of the process,
// and the kernel doubles the value: without a limit, a reader that does not read holds megabytes
// long after the response was written. Receive buffers stay small, because hardly anything is
// received.
const (
	maxConnections = 100
	maxNewcomers   = 25 // connections without a request that are safe from eviction
	sendBuffer     = 64 << 10
	unackedTimeout = 30 * time.Second // for sent bytes without acknowledgement
	settleTime     = time.Second      // after a handler, for the end of a response that net/http still buffers
)

// listen binds an address. Its connections, including those not accepted yet, have bounded buffers
// and time out if the peer does not acknowledge data.
func listen(ctx context.Context, address string) (net.Listener, error) {
	limits := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) error {
		var err error
		failure := socket.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedTimeout.Milliseconds())))
		})
		return errors.Join(failure, err)
	}}
	limits.SetMultipathTCP(false) // MPTCP accounts buffers differently
	return limits.Listen(ctx, "tcp", address)
}

// limitedListener accepts at most maxConnections connections. A further one evicts another (see
// victim). A peer that opens many connections evicts its own; Prometheus, with one connection and
// complete reads, always finds room.
type limitedListener struct {
	net.Listener
	logger *slog.Logger

	mu      sync.Mutex
	conns   map[*limitedConn]struct{}
	evicted evictions
}

// limitedConn is an accepted connection. The mutex of the listener guards its mutable fields.
type limitedConn struct {
	net.Conn
	listener *limitedListener
	peer     netip.Prefix
	asked    bool      // has sent a request
	busy     int       // requests in progress
	since    time.Time // time of accept, or of the last progress of a request
}

func newLimitedListener(listener net.Listener, logger *slog.Logger) *limitedListener {
	return &limitedListener{Listener: listener, logger: logger, conns: map[*limitedConn]struct{}{}, evicted: evictions{}}
}

// Accept implements net.Listener.
func (c *limitedListener) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	g := &limitedConn{Conn: conn, listener: c, peer: peerOf(conn.RemoteAddr().String()), since: now}
	c.mu.Lock()
	var victim *limitedConn
	if len(c.conns) >= maxConnections {
		victim = c.victim(now)
		delete(c.conns, victim)
		if !victim.idle(now) { // otherwise it has its response
			c.evicted.add(victim.peer, now)
		}
	}
	c.conns[g] = struct{}{}
	c.mu.Unlock()
	if victim != nil {
		c.logger.Warn("too many connections to the HTTP endpoint; closing one", "peer", victim.peer, "connections", maxConnections)
		victim.abort()
	}
	return g, nil
}

// Kinds of connections, in order of eviction.
const (
	idle        = iota // of the peer with the most, answered
	surplus            // without a request, and more than maxNewcomers of them
	established        // answering, or idle of a peer with fewer
	newcomer           // without a request
)

// standing is what decides whether a connection is evicted.
type standing struct {
	kind, places int // kind; connections and recent evictions of the peer
	idle         int // 1 if answered
}

// victim returns the connection to evict: of the kind that is evicted first, the peer with the most
// connections and recent evictions, and the oldest state. An idle connection does not go first while
// another peer has more: its next request may be on the way, which an HTTP/2 client does not repeat.
func (c *limitedListener) victim(now time.Time) *limitedConn {
	places := map[netip.Prefix]int{}
	newcomers := 0
	for g := range c.conns {
		places[g.peer]++
		if !g.asked {
			newcomers++
		}
	}
	most := 0
	for peer := range places {
		places[peer] += c.evicted.of(peer, now)
		most = max(most, places[peer])
	}
	var worst *limitedConn
	var low standing
	for g := range c.conns {
		s := g.standing(now, newcomers, places[g.peer], most)
		if worst == nil || cmp.Or(
			cmp.Compare(low.kind, s.kind),
			cmp.Compare(s.places, low.places),
			cmp.Compare(s.idle, low.idle),
			worst.since.Compare(g.since)) > 0 {
			worst, low = g, s
		}
	}
	return worst
}

func (g *limitedConn) standing(now time.Time, newcomers, places, most int) standing {
	s := standing{kind: established, places: places}
	switch {
	case !g.asked && newcomers > maxNewcomers:
		s.kind = surplus
	case !g.asked:
		s.kind = newcomer
	case g.idle(now):
		s.idle = 1
		if places == most {
			s.kind = idle
		}
	}
	return s
}

// idle returns whether the connection has its response and awaits the next request.
func (g *limitedConn) idle(now time.Time) bool {
	return g.asked && g.busy == 0 && now.Sub(g.since) >= settleTime && !g.unread()
}

// unread returns whether the peer's kernel has not acknowledged all of the response. An abort would
// discard the rest, after the handler has returned.
func (g *limitedConn) unread() bool {
	tcp, ok := g.Conn.(*net.TCPConn)
	if !ok {
		return false
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	var info *unix.TCPInfo
	failure := socket.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	return failure == nil && err == nil && (info.Unacked > 0 || info.Notsent_bytes > 0)
}

// cutOff aborts the connection of a slow reader.
func (g *limitedConn) cutOff() {
	g.listener.mu.Lock()
	g.listener.evicted.add(g.peer, time.Now())
	g.listener.mu.Unlock()
	g.abort()
}

// abort closes the connection and discards unsent data, which the kernel would keep for a while.
func (g *limitedConn) abort() {
	if tcp, ok := g.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // on an error it is closed as usual
	}
	_ = g.Conn.Close() // the goroutine of the connection gets the error
}

// CloseWrite lets the response reach a peer that is still sending. The HTTP server calls it if a
// connection has it.
func (g *limitedConn) CloseWrite() error {
	if tcp, ok := g.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (g *limitedConn) Close() error {
	g.listener.mu.Lock()
	delete(g.listener.conns, g)
	g.listener.mu.Unlock()
	return g.Conn.Close()
}

type connKey struct{}

// withConn adds the connection to the context of its requests.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	return context.WithValue(ctx, connKey{}, conn)
}

// connOf returns the connection of a request, or nil if it is not of a limitedListener.
func connOf(r *http.Request) *limitedConn {
	g, _ := r.Context().Value(connKey{}).(*limitedConn)
	return g
}

// evictionsOf returns the recent evictions of the peer of a request.
func evictionsOf(r *http.Request) int {
	g := connOf(r)
	if g == nil {
		return 0
	}
	g.listener.mu.Lock()
	defer g.listener.mu.Unlock()
	return g.listener.evicted.of(g.peer, time.Now())
}

// busy marks connections with a request in progress.
func busy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		progress(r, 1)
		defer progress(r, -1)
		next.ServeHTTP(w, r)
	})
}

// progress records that a request begins (1), ends (-1), or that its peer took a piece of the
// response (0): a reader at work is evicted after those that stall.
func progress(r *http.Request, change int) {
	g := connOf(r)
	if g == nil {
		return
	}
	g.listener.mu.Lock()
	defer g.listener.mu.Unlock()
	g.asked = true
	g.busy += change
	g.since = time.Now()
}

// peerOf returns the peer of a remote address: an IPv4 address, or a /64 network of IPv6, which one
// machine can use at will.
func peerOf(remote string) netip.Prefix {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{} // not a TCP address: all of these are one peer
	}
	host := address.Addr().Unmap().WithZone("")
	bits := 64
	if host.Is4() {
		bits = 32
	}
	prefix, _ := host.Prefix(bits) // the bits fit
	return prefix
}
