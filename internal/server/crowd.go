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

// What connections may take. The buffer is the kernel's, which doubles what it is asked for, and counts it to the memory of the
// process's control group: without a limit a reader that does not read holds megabytes there after its request was long answered.
// What is received does not grow so, because hardly anything is read.
const (
	maxConnections = 100
	maxNewcomers   = 25 // of them, which keep their places until they had a request
	sendBuffer     = 64 << 10
	unheardTimeout = 30 * time.Second // of bytes that the other end does not take
)

// listen binds an address. Its connections, also those that wait to be accepted, have bounded buffers, and do not wait for ever for their peer.
func listen(ctx context.Context, address string) (net.Listener, error) {
	limits := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) error {
		var err error
		failure := socket.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unheardTimeout.Milliseconds())))
		})
		return errors.Join(failure, err)
	}}
	limits.SetMultipathTCP(false) // whose buffers are counted otherwise
	return limits.Listen(ctx, "tcp", address)
}

// crowd is a listener with at most maxConnections connections. One more takes the place of another, see victim. Whoever opens many takes
// places from itself, and Prometheus, which has one and takes what it asked for, finds room.
type crowd struct {
	net.Listener
	logger *slog.Logger

	mu    sync.Mutex
	conns map[*guest]struct{}
	lost  losses
}

// guest is one accepted connection. What is not constant is guarded by the crowd's mutex.
type guest struct {
	net.Conn
	crowd *crowd
	peer  netip.Prefix
	asked bool      // had a request; before that it shakes hands, or is about to ask
	busy  int       // requests that are being answered
	since time.Time // when it was last answered, or came
}

func newCrowd(listener net.Listener, logger *slog.Logger) *crowd {
	return &crowd{Listener: listener, logger: logger, conns: map[*guest]struct{}{}, lost: losses{}}
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	g := &guest{Conn: conn, crowd: c, peer: peerOf(conn.RemoteAddr().String()), since: now}
	c.mu.Lock()
	var victim *guest
	if len(c.conns) >= maxConnections {
		victim = c.victim(now)
		delete(c.conns, victim)
		if !victim.asked || victim.busy > 0 { // else it had what it asked for
			c.lost.add(victim.peer, now)
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

// The order in which connections give way.
const (
	idle    = iota // was answered, and may ask again
	surplus        // did not ask yet, and there are more such than maxNewcomers
	answering
	newcomer // did not ask yet
)

// victim is the connection that gives way: of the kind that goes first, of the peer with the most places, held and lost of late, the one
// that has been so longest.
func (c *crowd) victim(now time.Time) *guest {
	places := map[netip.Prefix]int{}
	newcomers := 0
	for g := range c.conns {
		places[g.peer]++
		if !g.asked {
			newcomers++
		}
	}
	for peer := range places {
		places[peer] += c.lost.of(peer, now)
	}
	var worst *guest
	for g := range c.conns {
		if worst == nil || cmp.Or(
			cmp.Compare(worst.kind(newcomers), g.kind(newcomers)),
			cmp.Compare(places[g.peer], places[worst.peer]),
			worst.since.Compare(g.since)) > 0 {
			worst = g
		}
	}
	return worst
}

func (g *guest) kind(newcomers int) int {
	switch {
	case g.busy > 0:
		return answering
	case g.asked:
		return idle
	case newcomers > maxNewcomers:
		return surplus
	}
	return newcomer
}

// cutOff aborts a connection whose peer does not take what it asked for.
func (g *guest) cutOff() {
	g.crowd.mu.Lock()
	g.crowd.lost.add(g.peer, time.Now())
	g.crowd.mu.Unlock()
	g.abort()
}

// abort closes without the time that the kernel would go on to hold what was not taken.
func (g *guest) abort() {
	if tcp, ok := g.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else it is closed as usual
	}
	_ = g.Conn.Close() // its own goroutine learns of it
}

// CloseWrite lets what was answered reach a peer that goes on to send. The HTTP server calls it where a connection has it.
func (g *guest) CloseWrite() error {
	if tcp, ok := g.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	delete(g.crowd.conns, g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}

type guestKey struct{}

// withGuest lets the requests of a connection know it.
func withGuest(ctx context.Context, conn net.Conn) context.Context {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	return context.WithValue(ctx, guestKey{}, conn)
}

// guestOf returns the connection of a request, nil if it did not come by one of a crowd.
func guestOf(r *http.Request) *guest {
	g, _ := r.Context().Value(guestKey{}).(*guest)
	return g
}

// lostBy returns how many places the peer of a request lost of late.
func lostBy(r *http.Request) int {
	g := guestOf(r)
	if g == nil {
		return 0
	}
	g.crowd.mu.Lock()
	defer g.crowd.mu.Unlock()
	return g.crowd.lost.of(g.peer, time.Now())
}

// busy marks the connections whose requests are being answered.
func busy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g := guestOf(r); g != nil {
			g.serving(1)
			defer g.serving(-1)
		}
		next.ServeHTTP(w, r)
	})
}

func (g *guest) serving(change int) {
	g.crowd.mu.Lock()
	defer g.crowd.mu.Unlock()
	g.asked = true
	g.busy += change
	g.since = time.Now()
}

// peerOf is whom a remote address stands for: an IPv4 address, or the network of 64 bits that one machine has at its disposal with IPv6.
func peerOf(remote string) netip.Prefix {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{} // not a TCP address: all of them are one peer
	}
	host := address.Addr().Unmap().WithZone("")
	bits := 64
	if host.Is4() {
		bits = 32
	}
	prefix, _ := host.Prefix(bits) // the bits fit
	return prefix
}
