package packet

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/capture/packet/sockets"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Addresses of the tests of origins: two Services with names, and a backend without one.
var (
	originCache   = peer{[16]byte{10: 0xff, 11: 0xff, 15: 10}, 6380}
	originQueue   = peer{[16]byte{10: 0xff, 11: 0xff, 15: 11}, 6381}
	originBackend = peer{[16]byte{10: 0xff, 11: 0xff, 15: 7}, 6379}
	originClient  = [16]byte{10: 0xff, 11: 0xff, 15: 1}
)

// machine has sockets, and conversations with its packets.
type machine struct {
	*conversations
	sockets []sockets.Socket
	err     error
	now     int64
	lists   int
}

func newMachine() *machine {
	m := &machine{conversations: newConversations([]uint16{6379, 6380, 6381}, nil, func(event.Role, *event.Endpoints) bool { return true }, new(losses))}
	m.origins = newOrigins(func(func(uint16) bool) ([]sockets.Socket, error) {
		m.lists++
		return m.sockets, m.err
	}, func() int64 { return m.now }, slog.New(slog.DiscardHandler))
	m.hasName = func(role event.Role, e *event.Endpoints) bool {
		return role == event.Client && (serverOf(e) == originCache || serverOf(e) == originQueue)
	}
	return m
}

// connects adds the socket of a client that connected to a server.
func (m *machine) connects(port uint16, to peer) {
	m.sockets = append(m.sockets, sockets.Socket{Local: originClient, LocalPort: port, Remote: to.address, RemotePort: to.port})
}

// asks has a client send a request to the backend, and returns the server that the conversation counts under.
func (m *machine) asks(port uint16, flags uint8) peer {
	s := frame.Segment{
		Source: originClient, SourcePort: port, Destination: originBackend.address, DestinationPort: originBackend.port,
		Seq: 1, Flags: flags, Payload: []byte("PING\r\n"),
	}
	m.now++
	m.segment(&s, m.now)
	m.now++
	m.events = eventQueue{reader: new(event.Event)}
	return peer{s.Destination, s.DestinationPort}
}

func TestOrigins(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(m *machine)
		want peer
	}{
		{"no socket here", func(*machine) {}, originBackend},
		{"directly", func(m *machine) { m.connects(1000, originBackend) }, originBackend},
		{"translated", func(m *machine) { m.connects(1000, originCache) }, originCache},
		{"another client's", func(m *machine) { m.connects(1001, originCache) }, originBackend},
		{"two with the client's port", func(m *machine) { m.connects(1000, originCache); m.connects(1000, originQueue) }, originBackend},
		{"two, and one is direct", func(m *machine) { m.connects(1000, originCache); m.connects(1000, originBackend) }, originBackend},
		{"the socket is gone, as all others", func(m *machine) {
			m.connects(1001, originCache)
			m.asks(1001, frame.ACK)
			m.sockets = nil
		}, originCache},
		{"gone, and others differ", func(m *machine) {
			m.connects(1001, originCache)
			m.connects(1002, originQueue)
			m.asks(1001, frame.ACK)
			m.asks(1002, frame.ACK)
			m.sockets = nil
		}, originBackend},
		{"gone, and another was direct", func(m *machine) {
			m.connects(1001, originCache)
			m.connects(1002, originBackend)
			m.asks(1001, frame.ACK)
			m.asks(1002, frame.ACK)
			m.sockets = nil
		}, originBackend},
		{"no list", func(m *machine) { m.err = errors.New("no netlink") }, originBackend},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine()
			m.events.begin(new(event.Event))
			test.do(m)
			assert.Equal(t, test.want, m.asks(1000, frame.ACK))
			lists := m.lists
			assert.Equal(t, test.want, m.asks(1000, frame.ACK))
			assert.Equal(t, lists, m.lists, "the sockets are not listed for a known conversation")
		})
	}
}

// TestOriginOfAReusedPort: a client's port comes again, for another Service.
func TestOriginOfAReusedPort(t *testing.T) {
	m := newMachine()
	m.events.begin(new(event.Event))
	m.connects(1000, originCache)
	assert.Equal(t, originCache, m.asks(1000, frame.SYN))
	m.sockets = nil
	m.connects(1000, originQueue)
	assert.Equal(t, originQueue, m.asks(1000, frame.SYN))
	assert.Equal(t, originQueue, m.asks(1000, frame.ACK))
}

// TestMemoryOfOrigins: clients come with ever other ports and addresses.
func TestMemoryOfOrigins(t *testing.T) {
	m := newMachine()
	for n := range 3 * maxOrigins {
		m.origins.note(&event.Endpoints{Local: [16]byte{byte(n >> 16)}, LocalPort: uint16(n)}, originCache)
		m.origins.learn(peer{[16]byte{byte(n >> 16)}, uint16(n)}, originCache)
	}
	assert.LessOrEqual(t, len(m.origins.of), maxOrigins)
	assert.LessOrEqual(t, len(m.origins.backends), maxBackends)
}

// TestOriginsInAListing: where both ends are on this machine, a listing shows the backend's socket
// too, which is that of the same connection.
func TestOriginsInAListing(t *testing.T) {
	m := newMachine()
	m.connects(1000, originCache)
	m.sockets[0].Established = true
	accepted := sockets.Socket{
		Local: originBackend.address, LocalPort: originBackend.port, Remote: originClient, RemotePort: 1000,
		Accepted: true, Established: true,
	}
	m.listing = &listing{
		sockets: []sockets.Socket{accepted, m.sockets[0]}, present: make(map[event.Endpoints]bool),
		endedMeanwhile: make(map[event.Endpoints]struct{}),
	}
	reported := m.readListing(1)
	assert.Len(t, reported, 1)
	for key := range reported {
		assert.Equal(t, originCache, serverOf(&key))
	}
	assert.Equal(t, originCache, m.asks(1000, frame.ACK))
	assert.Len(t, m.table, 1)
}
