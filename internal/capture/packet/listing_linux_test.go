package packet

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// pair is a connection on loopback.
type pair struct {
	client, server net.Conn
	key            event.Endpoints
}

func mustPairs(tb testing.TB, n int) (pairs []pair, port uint16) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = listener.Close() })
	for range n {
		client, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(tb, err)
		server, err := listener.Accept()
		require.NoError(tb, err)
		local, remote := client.LocalAddr().(*net.TCPAddr).AddrPort(), client.RemoteAddr().(*net.TCPAddr).AddrPort()
		pairs = append(pairs, pair{client, server, event.Endpoints{
			Local: local.Addr().As16(), Remote: remote.Addr().As16(), LocalPort: local.Port(), RemotePort: remote.Port(),
		}})
		tb.Cleanup(pairs[len(pairs)-1].close)
	}
	return pairs, uint16(listener.Addr().(*net.TCPAddr).Port)
}

func (p pair) close() {
	_ = p.client.Close() // it may be closed
	_ = p.server.Close()
}

// readListing finishes the listing, and returns its events by endpoints.
func (t *conversations) readListing(now int64) map[event.Endpoints]event.Event {
	reported := make(map[event.Endpoints]event.Event)
	var e event.Event
	for t.events.begin(&e); t.events.filled || t.reportListed(now); t.events.begin(&e) {
		reported[e.Endpoints] = e
	}
	return reported
}

// TestListing: a listing reports connections that no packet has shown, but not those that ended
// meanwhile. It removes a connection whose socket no longer exists, but not one that only passes
// through this machine.
func TestListing(t *testing.T) {
	pairs, port := mustPairs(t, 6)
	idle, asking, known, closed, ended, halfClosed := pairs[0], pairs[1], pairs[2], pairs[3], pairs[4], pairs[5]
	time.Sleep(50 * time.Millisecond) // the ticks of the kernel
	_, err := asking.client.Write([]byte("PING\r\n"))
	require.NoError(t, err)
	require.NoError(t, halfClosed.client.(*net.TCPConn).CloseWrite())
	var lost losses
	c := newConversations([]uint16{port}, nil, func(event.Role, *event.Endpoints) bool { return true }, &lost)
	now := int64(1000)
	tick := func() int64 { now++; return now }
	segment := frame.Segment{
		Source: known.key.Local, Destination: known.key.Remote, SourcePort: known.key.LocalPort, DestinationPort: port,
		Seq: 1, Flags: frame.ACK, Payload: []byte("PING\r\n"),
	}
	require.Equal(t, 1, c.drain(&segment), "known by its packets")
	passing := segment
	passing.Source[15], passing.Destination[12] = 9, 10 // 10.0.0.1
	passing.Source[12] = 10
	passing.Seq = 5001 // with equal offsets it would be a copy
	require.Equal(t, 1, c.drain(&passing), "passing through")
	closed.close()

	require.NoError(t, c.startListing(tick))
	segment.SourcePort, segment.Source, segment.Flags, segment.Payload = ended.key.LocalPort, ended.key.Local, frame.RST, nil
	require.Zero(t, c.drain(&segment), "the end of one that is not known")
	assert.Empty(t, c.readListing(c.listing.ended-1), "too early")
	require.NotNil(t, c.listing)
	reported := c.readListing(now)
	assert.Nil(t, c.listing)
	require.Len(t, reported, 2)
	for _, want := range []struct {
		pair    pair
		awaited bool
	}{{idle, false}, {asking, true}} {
		e := reported[want.pair.key]
		assert.Equal(t, event.Existing, e.Kind)
		assert.True(t, e.Unplaced)
		assert.Equal(t, want.awaited, e.Awaited)
	}

	ended.close()
	require.NoError(t, c.startListing(tick))
	assert.Empty(t, c.readListing(now), "reported once")
	idle.close()
	known.close()
	require.NoError(t, c.startListing(tick))
	reported = c.readListing(now)
	require.Len(t, reported, 2)
	assert.Equal(t, event.Vanished, reported[idle.key].Kind)
	assert.Equal(t, event.Vanished, reported[known.key].Kind)
	assert.Len(t, c.table, 2, "one that is there, and one that passes through")
}

// TestListingOfHeldSegments: the listing is not over before the segments that wait for a name have
// shown their connection, so that it counts at the first scrape.
func TestListingOfHeldSegments(t *testing.T) {
	pairs, port := mustPairs(t, 2)
	var lost losses
	c := newConversations([]uint16{port}, nil, func(event.Role, *event.Endpoints) bool { return true }, &lost)
	c.hasName = func(event.Role, *event.Endpoints) bool { return false }
	now := int64(1000)
	for _, p := range pairs {
		segment := frame.Segment{
			Source: p.key.Local, Destination: p.key.Remote, SourcePort: p.key.LocalPort, DestinationPort: port,
			Seq: 1 + uint32(p.key.LocalPort), Flags: frame.ACK, Payload: []byte("PING\r\n"),
		}
		c.segment(&segment, now)
		require.False(t, c.events.filled, "it waits for a name")
	}
	require.NoError(t, c.startListing(func() int64 { return now }))
	assert.Empty(t, c.readListing(now))
	require.NotNil(t, c.listing, "neither has been shown")
	now += nameWithin
	var e event.Event
	for _, left := range []bool{true, false} {
		c.events.begin(&e)
		require.True(t, c.release(now))
		require.Equal(t, event.Data, e.Kind)
		assert.Empty(t, c.readListing(now))
		assert.Equal(t, left, c.listing != nil)
	}
}

// TestListingOfAccidents: a client's ephemeral port may have the number of an observed port; that
// end is not a server.
func TestListingOfAccidents(t *testing.T) {
	pairs, _ := mustPairs(t, 1)
	var lost losses
	c := newConversations([]uint16{pairs[0].key.LocalPort}, nil, func(event.Role, *event.Endpoints) bool { return true }, &lost)
	require.NoError(t, c.startListing(func() int64 { return 1 }))
	assert.Empty(t, c.readListing(1))
	assert.Empty(t, c.table)
}

// TestListingAfterAChangeOfRoles: a connection that is now observed at its other end continues
// there.
func TestListingAfterAChangeOfRoles(t *testing.T) {
	pairs, port := mustPairs(t, 1)
	key := pairs[0].key
	observed := event.Client
	var lost losses
	c := newConversations([]uint16{port}, []uint16{port}, func(role event.Role, _ *event.Endpoints) bool { return role == observed }, &lost)
	now := int64(1000)
	tick := func() int64 { now++; return now }
	require.NoError(t, c.startListing(tick))
	reported := c.readListing(now)
	require.Len(t, reported, 1)
	require.Equal(t, event.Client, reported[key].Role)
	passing := frame.Segment{Source: [16]byte{9}, SourcePort: 9, DestinationPort: port, Seq: 1, Flags: frame.ACK, Payload: []byte("PING\r\n")}
	require.Equal(t, 1, c.drain(&passing))

	observed = event.Server
	require.NoError(t, c.startListing(tick))
	reported = c.readListing(now)
	require.Len(t, reported, 3)
	assert.Equal(t, event.Vanished, reported[key].Kind)
	assert.Equal(t, event.Client, reported[key].Role)
	assert.Equal(t, event.Vanished, reported[keyOf(&passing, event.Request)].Kind)
	again := reported[swap(&key)]
	assert.Equal(t, event.Existing, again.Kind)
	assert.Equal(t, event.Server, again.Role)
	assert.True(t, again.Unplaced)
	assert.Len(t, c.table, 1, "one that passes through is added with its next packet")
	passing.Seq += 6
	assert.Equal(t, 1, c.drain(&passing))
	require.NoError(t, c.startListing(tick))
	assert.Empty(t, c.readListing(now), "reported once")
}
