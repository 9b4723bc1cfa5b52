package packet

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// halved is a connection of which packets show the requests under one address, and the replies under another.
type halved struct {
	*machine
	requests, replies event.Endpoints
	got               []event.Event
	seq, ack          uint32 // of the client's next segment
}

func newHalved(seq uint32) *halved {
	h := &halved{machine: newMachine(), seq: seq, ack: 9000}
	h.requests = between(originClient, 47913, originBackend)
	h.replies = between(originClient, 40024, originQueue)
	return h
}

func between(client [16]byte, port uint16, server peer) event.Endpoints {
	return event.Endpoints{Local: client, LocalPort: port, Remote: server.address, RemotePort: server.port}
}

// reads has a segment read.
func (h *halved) reads(d event.Direction, s frame.Segment) {
	key := h.requests
	if d == event.Reply {
		key = swap(&h.replies)
	}
	s.Source, s.SourcePort, s.Destination, s.DestinationPort = key.Local, key.LocalPort, key.Remote, key.RemotePort
	h.now++
	var e event.Event
	h.events.begin(&e)
	h.segment(&s, h.now)
	for ; h.events.filled || h.expire(h.now); h.events.begin(&e) {
		h.got = append(h.got, e)
	}
}

// opens has the handshake read.
func (h *halved) opens() {
	h.reads(event.Request, frame.Segment{Seq: h.seq - 1, Flags: frame.SYN})
	h.answersSYN()
}

func (h *halved) answersSYN() {
	h.reads(event.Reply, frame.Segment{Seq: h.ack - 1, Ack: h.seq, Flags: frame.SYN | frame.ACK})
}

func (h *halved) acknowledges(flags uint8) {
	h.reads(event.Request, frame.Segment{Seq: h.seq, Ack: h.ack, Flags: flags | frame.ACK})
}

func (h *halved) asks() {
	h.reads(event.Request, frame.Segment{Seq: h.seq, Ack: h.ack, Flags: frame.ACK, Payload: []byte("PING\r\n")})
	h.seq += 6
}

func (h *halved) answers() {
	h.reads(event.Reply, frame.Segment{Seq: h.ack, Ack: h.seq, Flags: frame.ACK, Payload: []byte("+PONG\r\n")})
	h.ack += 7
}

// ends has the client close first.
func (h *halved) ends() {
	h.acknowledges(frame.FIN)
	h.seq++
	h.reads(event.Reply, frame.Segment{Seq: h.ack, Ack: h.seq, Flags: frame.ACK | frame.FIN})
	h.ack++
	h.acknowledges(0)
}

// assertOne: the events are those of one connection, in their order.
func (h *halved) assertOne(t *testing.T, key event.Endpoints, want ...event.Kind) {
	t.Helper()
	h.assertEvents(t, h.got, key, want...)
}

func (h *halved) assertEvents(t *testing.T, events []event.Event, key event.Endpoints, want ...event.Kind) {
	t.Helper()
	var kinds []event.Kind
	directions := []event.Direction{event.Request, event.Reply}
	data := 0
	for i := range events {
		e := &events[i]
		kinds = append(kinds, e.Kind)
		assert.Equal(t, key, e.Endpoints)
		assert.Equal(t, events[0].Conn, e.Conn)
		if e.Kind == event.Data {
			assert.Equal(t, directions[data%2], e.Direction)
			data++
		}
	}
	assert.Equal(t, want, kinds)
}

// assertForgotten: nothing is left of a connection that has ended.
func (h *halved) assertForgotten(t *testing.T) {
	t.Helper()
	var e event.Event
	for h.events.begin(&e); h.expire(h.now + 2*linger); h.events.begin(&e) {
		assert.Equal(t, event.Closed, e.Kind)
	}
	assert.Empty(t, h.table)
	assert.Empty(t, h.opening)
	assert.Empty(t, h.syns)
	assert.Empty(t, h.conversations.answers)
	assert.Zero(t, h.waitingBytes)
}

// TestHalves: the kernel translates the address of a connection on loopback, and its port too because an
// earlier connection has that. The commands count once, under the address that the client connected to.
func TestHalves(t *testing.T) {
	whole := []event.Kind{event.Open, event.Data, event.Data, event.Data, event.Data, event.HalfClosed, event.PeerClosed}
	for _, test := range []struct {
		name    string
		prepare func(h *halved)
		open    func(h *halved)
		under   func(h *halved) event.Endpoints
	}{
		{name: "another port"},
		{name: "no socket is listed", prepare: func(h *halved) { h.requests.LocalPort = h.replies.LocalPort }},
		{name: "others are to one Service", prepare: func(h *halved) {
			h.connects(1000, originQueue)
			h.events.begin(new(event.Event))
			h.machine.asks(1000, frame.ACK)
			h.sockets = nil
		}},
		{name: "the acknowledgement is lost", open: (*halved).opens},
		{name: "the handshake is sent again", open: func(h *halved) {
			h.opens()
			h.opens()
			h.acknowledges(0)
			h.answersSYN()
		}},
		{name: "no names", prepare: func(h *halved) {
			h.hasName = func(event.Role, *event.Endpoints) bool { return false }
		}},
		{name: "no names are known", prepare: func(h *halved) { h.hasName, h.origins = nil, nil }},
		{
			name: "the backend has a name",
			prepare: func(h *halved) {
				h.hasName = func(role event.Role, e *event.Endpoints) bool {
					return role == event.Client && serverOf(e) == originBackend
				}
			},
			under: func(h *halved) event.Endpoints { return h.requests },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHalved(5000)
			if test.prepare != nil {
				test.prepare(h)
			}
			if test.open == nil {
				test.open = func(h *halved) { h.opens(); h.acknowledges(0) }
			}
			under := h.replies
			if test.under != nil {
				under = test.under(h)
			}
			before := len(h.table)
			test.open(h)
			for range 2 {
				h.asks()
				h.answers()
			}
			h.ends()
			if h.hasName != nil && !h.isNamed(&under) { // it waits for a name, but not for long
				h.settle(nameWithin)
			}
			h.assertOne(t, under, whole...)
			assert.Len(t, h.table, before+2)
			if before == 0 {
				h.assertForgotten(t)
			}
		})
	}
}

// settle has time pass.
func (h *halved) settle(ns int64) {
	h.now += ns
	var e event.Event
	for h.events.begin(&e); h.expire(h.now); h.events.begin(&e) {
		h.got = append(h.got, e)
	}
}

// TestHalvesWithReusedPorts: the next connection has the ports of the one before.
func TestHalvesWithReusedPorts(t *testing.T) {
	h := newHalved(5000)
	for range 3 {
		h.got = nil
		h.opens()
		h.acknowledges(0)
		if len(h.got) > 1 {
			assert.Equal(t, event.Closed, h.got[0].Kind, "of the one before")
			h.got = h.got[1:]
		}
		h.asks()
		h.answers()
		h.ends()
		h.assertOne(t, h.replies, event.Open, event.Data, event.Data, event.HalfClosed, event.PeerClosed)
		h.seq, h.ack = h.seq+1<<28, h.ack+1<<27
	}
	h.assertForgotten(t)
}

// TestHalvesWithReusedPortsAndNoEnd: the same, and the end of the one before was lost.
func TestHalvesWithReusedPortsAndNoEnd(t *testing.T) {
	h := newHalved(5000)
	for n := range 4 {
		h.got = nil
		h.opens()
		h.acknowledges(0)
		if n > 0 {
			assert.Equal(t, event.Vanished, h.got[0].Kind, "the one before")
			h.got = h.got[1:]
		}
		h.asks()
		h.answers()
		h.assertOne(t, h.replies, event.Open, event.Data, event.Data)
		h.seq, h.ack = h.seq+1<<24, h.ack+1<<25
	}
}

// TestEvictedHalves: both halves are evicted, so that they come together again.
func TestEvictedHalves(t *testing.T) {
	for range 20 { // which is found first is random
		h := newHalved(5000)
		h.opens()
		h.acknowledges(0)
		h.asks()
		h.answers()
		h.assertOne(t, h.replies, event.Open, event.Data, event.Data)
		h.events.begin(new(event.Event))
		h.evict(h.now)
		require.Empty(t, h.table)
		h.got = nil
		h.asks()
		h.answers()
		h.assertOne(t, h.replies, event.Data, event.Data)
	}
}

// TestHalvesWithEarlyData: the SYN carries the request.
func TestHalvesWithEarlyData(t *testing.T) {
	h := newHalved(5000)
	h.reads(event.Request, frame.Segment{Seq: h.seq - 1, Flags: frame.SYN, Payload: []byte("PING\r\n")})
	h.seq += 6
	h.answersSYN()
	h.acknowledges(0)
	h.answers()
	h.ends()
	h.assertOne(t, h.replies, event.Open, event.Data, event.Data, event.HalfClosed, event.PeerClosed)
	h.assertForgotten(t)
}

// TestHalvesInMidStream: the connection is older than the capture.
func TestHalvesInMidStream(t *testing.T) {
	listed := func(h *halved) {
		h.events.begin(new(event.Event))
		h.addListed(h.replies, false, 1)
	}
	for _, test := range []struct {
		name    string
		prepare func(h *halved)
	}{
		{"unknown", func(*halved) {}},
		{"listed", listed},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHalved(5000)
			test.prepare(h)
			for range 2 {
				h.asks()
				h.answers()
			}
			h.ends()
			h.assertOne(t, h.replies, event.Data, event.Data, event.Data, event.Data, event.HalfClosed, event.PeerClosed)
			h.assertForgotten(t)
		})
	}

	t.Run("the first reply comes late", func(t *testing.T) {
		h := newHalved(5000)
		listed(h)
		h.asks()
		h.settle(2 * nameWithin)
		require.Len(t, h.got, 1, "under the backend's address")
		h.answers()
		require.Len(t, h.got, 3)
		h.assertEvents(t, h.got[:2], h.requests, event.Data, event.Closed)
		assert.Equal(t, h.replies, h.got[2].Endpoints)
		h.got = nil
		h.asks()
		h.answers()
		h.ends()
		h.assertOne(t, h.replies, event.Data, event.Data, event.HalfClosed, event.PeerClosed)
		h.assertForgotten(t)
	})

	t.Run("the server speaks first", func(t *testing.T) {
		h := newHalved(5000)
		listed(h)
		h.answers()
		h.asks()
		h.answers()
		require.Len(t, h.got, 3)
		h.assertEvents(t, h.got[1:], h.replies, event.Data, event.Data)
	})
}

// TestOtherHalves: what does not fit is not joined.
func TestOtherHalves(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(h *halved)
	}{
		{"another client", func(h *halved) { h.replies.Local[15]++ }},
		{"other offsets of requests", func(h *halved) { h.seq++ }},
		{"other offsets of replies", func(h *halved) { h.ack++ }},
		{"much later", func(h *halved) { h.now += 2 * twinWithin }},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHalved(5000)
			h.asks()
			test.change(h)
			h.answers()
			h.settle(nameWithin)
			assert.Zero(t, h.merged)
			assert.Len(t, h.got, 2)
		})
	}
}
