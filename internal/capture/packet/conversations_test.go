package packet

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// drain reads the events of a segment, and returns how many there were.
func (t *conversations) drain(s *frame.Segment) (events int) {
	var e event.Event
	t.events.begin(&e)
	t.segment(s, 1)
	for filled := t.events.filled; filled; filled = t.events.filled {
		events++
		t.events.begin(&e)
	}
	return events
}

// TestMemoryWhenTimeStandsStill: all packets of a capture may have the same time. Memory must stay
// bounded.
func TestMemoryWhenTimeStandsStill(t *testing.T) {
	var lost losses
	c := newConversations([]uint16{6379}, nil, func(event.Role, *event.Endpoints) bool { return true }, &lost)
	var e event.Event
	for n := range uint32(3 * maxEnding) {
		request := frame.Segment{SourcePort: uint16(n), DestinationPort: 6379, Seq: 1, Flags: frame.ACK, Payload: []byte("PING\r\n")}
		request.Source[0], request.Source[1] = byte(n>>16), 1
		if c.drain(&request) != 1 { // not by assert, which costs more than all that is tested
			t.Fatal("want one event")
		}
		request.Seq, request.Payload, request.Flags = 7, nil, frame.RST
		c.drain(&request)
		for c.events.begin(&e); c.expire(1); c.events.begin(&e) {
		}
	}
	assert.LessOrEqual(t, len(c.ending), maxEnding)
	assert.LessOrEqual(t, len(c.table), maxEnding+1)
	assert.LessOrEqual(t, cap(c.ending), 4*maxEnding)
}

// TestMemoryOfSYNs: the same for SYNs with data, and for handshakes that are never completed.
func TestMemoryOfSYNs(t *testing.T) {
	var lost losses
	c := newConversations([]uint16{6379}, nil, func(event.Role, *event.Endpoints) bool { return true }, &lost)
	data := make([]byte, maxEarlyBytes+1)
	for n := range uint32(2 * maxOpenings) {
		syn := frame.Segment{SourcePort: uint16(n), DestinationPort: 6379, Flags: frame.SYN, Payload: data[:1]}
		if n%256 < 2 {
			syn.Payload = data[:maxEarlyBytes+n%256]
		}
		syn.Source[0] = byte(n >> 16)
		answer := frame.Segment{Destination: syn.Source, SourcePort: 6379, DestinationPort: uint16(n), Flags: frame.SYN | frame.ACK}
		if c.drain(&syn)+c.drain(&answer) != 0 {
			t.Fatal("want no event")
		}
	}
	assert.Empty(t, c.table)
	assert.LessOrEqual(t, len(c.opening), maxOpenings)
	assert.LessOrEqual(t, len(c.early), maxEarly)
	for _, e := range c.early {
		assert.LessOrEqual(t, len(e.data), maxEarlyBytes)
	}
	assert.NotZero(t, lost.byReason()["handshake"])
}

// TestMemoryOfCopies: the same for one segment from ever other addresses, of which each looks like a
// copy of the one before.
func TestMemoryOfCopies(t *testing.T) {
	var lost losses
	c := newConversations([]uint16{6379}, nil, func(event.Role, *event.Endpoints) bool { return true }, &lost)
	reachable := func() (all int) {
		for _, x := range c.table {
			if x.twin == nil {
				all += 1 + len(x.copies)
			}
			assert.LessOrEqual(t, len(x.copies), maxCopies)
		}
		return all
	}
	const sources = 50 * (maxCopies + 1)
	for n := range uint32(sources) {
		s := frame.Segment{SourcePort: 1, DestinationPort: 6379, Seq: 1, Ack: 1, Flags: frame.ACK, Payload: []byte("PING\r\n")}
		s.Source[0], s.Source[1] = byte(n), byte(n>>8)
		c.drain(&s)
	}
	assert.EqualValues(t, 50*maxCopies, c.merged)
	assert.Equal(t, sources, reachable())
	var e event.Event
	for len(c.table) > 0 {
		c.events.begin(&e)
		c.evict(1)
		for c.events.filled {
			c.events.begin(&e)
		}
		assert.Equal(t, len(c.table), reachable(), "a copy that is not in the table stays in memory")
	}
}

// TestMemoryOfWaitingSegments: the same for segments that acknowledge bytes that never come.
func TestMemoryOfWaitingSegments(t *testing.T) {
	var lost losses
	c := newConversations([]uint16{6379}, nil, func(event.Role, *event.Endpoints) bool { return true }, &lost)
	var e event.Event
	settle := func() (events int) {
		for c.events.begin(&e); c.expire(1); c.events.begin(&e) {
			events++
		}
		return events
	}
	payload := make([]byte, 1400)
	events := 0
	for n := range uint32(4 * maxWaiting / 1400) {
		request := frame.Segment{SourcePort: uint16(1 + n%5000), DestinationPort: 6379, Seq: 1 + n/5000*1400, Ack: 1 + n/5000*7, Flags: frame.ACK, Payload: payload}
		events += c.drain(&request) + settle()
		if n%5000 == 77 { // its segments come and go
			answer := frame.Segment{SourcePort: 6379, DestinationPort: request.SourcePort, Seq: request.Ack - 7, Ack: request.Seq, Flags: frame.ACK, Payload: payload[:7]}
			events += c.drain(&answer) + settle()
		}
		if c.waitingBytes > maxWaiting+2000 || len(c.waiting) > 5000 {
			t.Fatalf("%d bytes of %d conversations wait", c.waitingBytes, len(c.waiting))
		}
	}
	assert.NotZero(t, c.waitingBytes)
	for c.events.begin(&e); c.expire(1 << 62); c.events.begin(&e) {
		events++
	}
	assert.GreaterOrEqual(t, events, 4*maxWaiting/1400, "none is dropped")
	assert.Zero(t, c.waitingBytes)
	assert.Empty(t, c.waiting)
}

// TestReplyBehindAWaitingRequest: the first request of an existing connection without a name waits
// for a copy with a name, and nothing of the request's direction is known yet. The reply must not
// overtake it.
func TestReplyBehindAWaitingRequest(t *testing.T) {
	var lost losses
	c := newConversations([]uint16{6379}, nil, func(event.Role, *event.Endpoints) bool { return true }, &lost)
	c.hasName = func(event.Role, *event.Endpoints) bool { return false }
	request := frame.Segment{SourcePort: 40000, DestinationPort: 6379, Seq: 100, Ack: 500, Flags: frame.ACK, Payload: []byte("*1\r\n$4\r\nPING\r\n")}
	reply := frame.Segment{SourcePort: 6379, DestinationPort: 40000, Seq: 500, Ack: 114, Flags: frame.ACK, Payload: []byte("+PONG\r\n")}
	kinds := []event.Kind{}
	directions := []event.Direction{}
	var e event.Event
	collect := func(filled func() bool) {
		for c.events.begin(&e); filled(); c.events.begin(&e) {
			kinds, directions = append(kinds, e.Kind), append(directions, e.Direction)
		}
	}
	for i, s := range []*frame.Segment{&request, &reply} {
		c.events.begin(&e)
		c.segment(s, int64(1+i))
		assert.False(t, c.events.filled, "it waits")
	}
	collect(func() bool { return c.expire(nameWithin + 2) })
	assert.Equal(t, []event.Kind{event.Data, event.Data}, kinds)
	assert.Equal(t, []event.Direction{event.Request, event.Reply}, directions)
}
