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

// takeCensus uses the census, and returns what it tells.
func (t *conversations) takeCensus(now int64) map[event.Endpoints]event.Event {
	told := make(map[event.Endpoints]event.Event)
	var e event.Event
	for t.events.begin(&e); t.events.filled || t.reckon(now); t.events.begin(&e) {
		told[e.Endpoints] = e
	}
	return told
}

// TestCensus: connections that packets have not told of are, and those that ended meanwhile are not; what had a socket and has
// none any more is given up, and what only passes through is not.
func TestCensus(t *testing.T) {
	pairs, port := mustPairs(t, 6)
	silent, asking, known, closed, ended, halfClosed := pairs[0], pairs[1], pairs[2], pairs[3], pairs[4], pairs[5]
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
	require.Equal(t, 1, c.drain(&passing), "passing through")
	closed.close()

	require.NoError(t, c.count(tick))
	segment.SourcePort, segment.Source, segment.Flags, segment.Payload = ended.key.LocalPort, ended.key.Local, frame.RST, nil
	require.Zero(t, c.drain(&segment), "the end of one that is not known")
	assert.Empty(t, c.takeCensus(c.census.ended-1), "too early")
	require.NotNil(t, c.census)
	told := c.takeCensus(now)
	assert.Nil(t, c.census)
	require.Len(t, told, 2)
	for _, want := range []struct {
		pair    pair
		awaited bool
	}{{silent, false}, {asking, true}} {
		e := told[want.pair.key]
		assert.Equal(t, event.Existing, e.Kind)
		assert.True(t, e.Unplaced)
		assert.Equal(t, want.awaited, e.Awaited)
	}

	ended.close()
	require.NoError(t, c.count(tick))
	assert.Empty(t, c.takeCensus(now), "told of once")
	silent.close()
	known.close()
	require.NoError(t, c.count(tick))
	told = c.takeCensus(now)
	require.Len(t, told, 2)
	assert.Equal(t, event.Vanished, told[silent.key].Kind)
	assert.Equal(t, event.Vanished, told[known.key].Kind)
	assert.Len(t, c.table, 2, "one that is there, and one that passes through")
}

// TestCensusOfAccidents: a connection whose client's port is of an observed number is none with a server of that port.
func TestCensusOfAccidents(t *testing.T) {
	pairs, _ := mustPairs(t, 1)
	var lost losses
	c := newConversations([]uint16{pairs[0].key.LocalPort}, nil, func(event.Role, *event.Endpoints) bool { return true }, &lost)
	require.NoError(t, c.count(func() int64 { return 1 }))
	assert.Empty(t, c.takeCensus(1))
	assert.Empty(t, c.table)
}

// TestCensusAfterAChangeOfRoles: what the configuration observes at its other end now goes on there.
func TestCensusAfterAChangeOfRoles(t *testing.T) {
	pairs, port := mustPairs(t, 1)
	key := pairs[0].key
	observed := event.Client
	var lost losses
	c := newConversations([]uint16{port}, []uint16{port}, func(role event.Role, _ *event.Endpoints) bool { return role == observed }, &lost)
	now := int64(1000)
	tick := func() int64 { now++; return now }
	require.NoError(t, c.count(tick))
	told := c.takeCensus(now)
	require.Len(t, told, 1)
	require.Equal(t, event.Client, told[key].Role)
	passing := frame.Segment{Source: [16]byte{9}, SourcePort: 9, DestinationPort: port, Seq: 1, Flags: frame.ACK, Payload: []byte("PING\r\n")}
	require.Equal(t, 1, c.drain(&passing))

	observed = event.Server
	require.NoError(t, c.count(tick))
	told = c.takeCensus(now)
	require.Len(t, told, 3)
	assert.Equal(t, event.Vanished, told[key].Kind)
	assert.Equal(t, event.Client, told[key].Role)
	assert.Equal(t, event.Vanished, told[keyOf(&passing, event.Request)].Kind)
	again := told[swap(&key)]
	assert.Equal(t, event.Existing, again.Kind)
	assert.Equal(t, event.Server, again.Role)
	assert.True(t, again.Unplaced)
	assert.Len(t, c.table, 1, "one that passes through begins when it speaks")
	passing.Seq += 6
	assert.Equal(t, 1, c.drain(&passing))
	require.NoError(t, c.count(tick))
	assert.Empty(t, c.takeCensus(now), "told of once")
}
