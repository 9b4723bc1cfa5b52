package lookup

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/lookup/lookuptest"
)

// of returns a resolver that asks one server, whatever the system's configuration says.
func of(server *lookuptest.Server) *Resolver {
	return New(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Address())
	})
}

func TestLifetime(t *testing.T) {
	server := lookuptest.Serve(t, "127.0.0.1:0")
	r := of(server)
	server.Set("redis.test", 7, "10.0.0.1", "10.0.0.2")
	server.Set("fleeting.test", 0, "10.0.0.3")

	addresses, lifetime, err := r.LookupLifetime(context.Background(), "redis.test.")
	require.NoError(t, err)
	assert.ElementsMatch(t, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}, addresses)
	assert.Equal(t, 7*time.Second, lifetime)

	_, lifetime, err = r.LookupLifetime(context.Background(), "fleeting.test.")
	require.NoError(t, err)
	assert.Positive(t, lifetime, "a record that must not be cached has a lifetime, too")
	assert.Less(t, lifetime, time.Second)

	_, lifetime, err = r.LookupLifetime(context.Background(), "gone.test.")
	require.Error(t, err)
	assert.Zero(t, lifetime)

	_, lifetime, err = r.LookupLifetime(context.Background(), "127.0.0.1")
	require.NoError(t, err)
	assert.Zero(t, lifetime, "no server was asked")
}

// The lifetime of SRV records is the shortest on the way to the addresses.
func TestSRV(t *testing.T) {
	server := lookuptest.Serve(t, "127.0.0.1:0")
	r := of(server)
	server.Set("a.test", 7, "10.0.0.1", "10.0.0.2")
	server.Set("b.test", 60, "10.0.0.3")
	server.SetSRV("_redis._tcp.shop.test", 30, "a.test:7000", "b.test:7001", "a.test:7002", "gone.test:7003")
	server.SetSRV("_redis._tcp.none.test", 30, "gone.test:7000")

	found, lifetime, err := r.LookupSRV(context.Background(), "_redis._tcp.shop.test.")
	require.NoError(t, err)
	var texts []string
	for _, a := range found {
		texts = append(texts, a.String())
	}
	assert.ElementsMatch(t, []string{"10.0.0.1:7000", "10.0.0.2:7000", "10.0.0.1:7002", "10.0.0.2:7002", "10.0.0.3:7001"}, texts)
	assert.Equal(t, 7*time.Second, lifetime)

	server.Set("a.test", 90, "10.0.0.1")
	_, lifetime, err = r.LookupSRV(context.Background(), "_redis._tcp.shop.test.")
	require.NoError(t, err)
	assert.Equal(t, 30*time.Second, lifetime, "that of the SRV records")

	_, _, err = r.LookupSRV(context.Background(), "_redis._tcp.none.test.")
	require.ErrorIs(t, err, errNoTarget)
	_, _, err = r.LookupSRV(context.Background(), "_redis._tcp.gone.test.")
	require.Error(t, err)
}

// A stream has messages behind their lengths, in pieces of any size.
func TestStream(t *testing.T) {
	for size := 1; size < 40; size += 6 {
		near, far := net.Pipe()
		shortest := new(lifetime)
		c := &streamConn{Conn: near, lifetime: shortest}
		message := mustMessage(t)
		framed := append([]byte{0, byte(len(message))}, message...)
		go func() {
			for rest := append(framed, framed...); len(rest) > 0; {
				n, _ := far.Write(rest[:min(size, len(rest))])
				rest = rest[n:]
			}
			_ = far.Close()
		}()
		buffer := make([]byte, 64)
		for {
			if _, err := c.Read(buffer); err != nil {
				break
			}
		}
		assert.Equal(t, 9*time.Second, shortest.get(), size)
		assert.Empty(t, c.read)
	}
}

// Whatever a server sends does no more than set a lifetime.
func FuzzNote(f *testing.F) {
	f.Add(mustMessage(f))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, message []byte) {
		shortest := new(lifetime)
		shortest.note(message)
		assert.GreaterOrEqual(t, shortest.get(), time.Duration(0))
	})
}
