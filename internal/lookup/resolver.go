package lookup

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Resolver resolves host names with the DNS servers and the hosts file of the system.
type Resolver struct {
	system net.Resolver
}

// New returns a Resolver that reaches DNS servers by dial, or directly if dial is nil.
func New(dial func(ctx context.Context, network, address string) (net.Conn, error)) *Resolver {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return &Resolver{net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		shortest, asked := ctx.Value(lifetimeKey{}).(*lifetime)
		if err != nil || !asked {
			return conn, err
		}
		if packets, ok := conn.(net.PacketConn); ok { // Go's resolver expects messages of it
			return &packetConn{Conn: conn, PacketConn: packets, lifetime: shortest}, nil
		}
		return &streamConn{Conn: conn, lifetime: shortest}, nil
	}}}
}

// LookupNetIP returns the addresses of a host name.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return r.system.LookupNetIP(ctx, network, host)
}

// LookupLifetime returns the addresses of a host name, and the shortest lifetime of the records on
// the way to them; 0 if there is none, as for the hosts file.
func (r *Resolver) LookupLifetime(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	shortest := new(lifetime)
	addresses, err := r.system.LookupNetIP(context.WithValue(ctx, lifetimeKey{}, shortest), "ip", host)
	return addresses, shortest.get(), err
}

// lifetimeKey is the key of the *lifetime of a lookup in its context.
type lifetimeKey struct{}

// lifetime is the shortest lifetime of the records of a lookup. IPv4 and IPv6 addresses are asked
// for at the same time.
type lifetime struct {
	mu       sync.Mutex
	shortest time.Duration
}

func (l *lifetime) get() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shortest
}

// note takes the lifetimes of a message of a DNS server. What cannot be read has none. A record
// that must not be cached is valid for the least that can be said.
func (l *lifetime) note(message []byte) {
	var p dnsmessage.Parser
	if header, err := p.Start(message); err != nil || !header.Response {
		return
	}
	if p.SkipAllQuestions() != nil {
		return
	}
	for {
		record, err := p.AnswerHeader()
		if err != nil || p.SkipAnswer() != nil {
			return
		}
		valid := max(time.Duration(record.TTL)*time.Second, time.Nanosecond)
		l.mu.Lock()
		if l.shortest == 0 || valid < l.shortest {
			l.shortest = valid
		}
		l.mu.Unlock()
	}
}

// packetConn reads the messages of a connection of datagrams.
type packetConn struct {
	net.Conn
	net.PacketConn
	*lifetime
}

func (c *packetConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.note(b[:n])
	return n, err
}

// The methods that both interfaces have.

func (c *packetConn) Close() error                       { return c.Conn.Close() }
func (c *packetConn) LocalAddr() net.Addr                { return c.Conn.LocalAddr() }
func (c *packetConn) SetDeadline(t time.Time) error      { return c.Conn.SetDeadline(t) }
func (c *packetConn) SetReadDeadline(t time.Time) error  { return c.Conn.SetReadDeadline(t) }
func (c *packetConn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(t) }

// streamConn reads the messages of a stream, each of which follows its length in two bytes.
type streamConn struct {
	net.Conn
	*lifetime
	read []byte
}

func (c *streamConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read = append(c.read, b[:n]...)
	for len(c.read) >= 2 {
		length := 2 + int(binary.BigEndian.Uint16(c.read))
		if len(c.read) < length {
			break
		}
		c.note(c.read[2:length])
		c.read = c.read[length:]
	}
	return n, err
}
