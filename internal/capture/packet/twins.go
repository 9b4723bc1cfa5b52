package packet

import (
	"hash/maphash"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// A capture can show a connection twice under two addresses: before and behind an address
// translation (`-i any` on a Kubernetes node, mirrors of both sides of a load balancer). The copies
// have the same bytes and the same initial offsets in both directions; where those were not seen,
// they have the same offsets and the same port of the client, and come in step. They are made one
// conversation, under the address that has a name.

const (
	youngSegments = 8 // segments of a conversation that are compared
	glanceBits    = 12
	glances       = 1 << glanceBits              // segments that they are compared with
	twinWithin    = int64(2 * time.Second)       // between a segment and its copy, by two clocks
	nameWithin    = int64(10 * time.Millisecond) // how long a segment waits for a copy whose address has a name
	comparedBytes = 256                          // of a segment
	maxCopies     = 8                            // of a conversation; further ones count as conversations
	golden        = 0x9E3779B97F4A7C15           // 2^64 divided by the golden ratio
)

// glance is a segment with payload of a conversation that began lately.
type glance struct {
	of        *conversation
	direction event.Direction
	seq, ack  uint32
	length    int
	hash      uint64
	time      int64
}

// compareSegment looks for the conversation of which this one is a copy, by a segment with payload. It
// returns the conversation that the segment is to be delivered to.
func (t *conversations) compareSegment(c *conversation, d event.Direction, s *frame.Segment, now int64) *conversation {
	c.young++
	g := glance{
		of: c, direction: d, seq: s.Seq, ack: s.Ack, length: len(s.Payload), time: now,
		hash: maphash.Bytes(t.seed, s.Payload[:min(len(s.Payload), comparedBytes)]),
	}
	known := &t.glances[(uint64(s.Seq)<<32|uint64(s.Ack))*golden>>(64-glanceBits)]
	k := *known
	*known = g
	if k.of == nil || k.of.root() == c || k.of.gone || k.direction != d || k.seq != g.seq || k.ack != g.ack || k.length != g.length || k.hash != g.hash {
		return c
	}
	x := k.of.root()
	if x.closed || x.gone || x.key.Local == c.key.Local && x.key.Remote == c.key.Remote || max(now-k.time, k.time-now) > twinWithin {
		return c
	}
	if len(x.copies)+len(c.copies) >= maxCopies {
		return c
	}
	other := &x.streams[1-d]
	inStep := !other.known || int32(other.end-s.Ack) <= 0 // the other end has not gone on since
	switch {
	case c.opened && x.opened && c.start == x.start:
	case x.key.LocalPort != c.key.LocalPort:
		return c
	case !inStep:
		c.young = youngSegments
		t.alike++
		return c
	}
	return t.merge(c, x, now)
}

// root returns the conversation that stands for this one and its copies.
func (c *conversation) root() *conversation {
	if c.twin != nil {
		return c.twin
	}
	return c
}

// merge makes one of two conversations a copy of the other, and returns that.
func (t *conversations) merge(c, x *conversation, now int64) *conversation {
	if t.hasName != nil && !x.delivered && !c.delivered && t.hasName(c.role, &c.endpoints) && !t.hasName(x.role, &x.endpoints) {
		c, x = x, c
		x.streams, x.waits, c.waits = c.streams, c.waits, nil
		x.seen, x.young = c.seen, youngSegments
		if x.waits != nil {
			t.watch(x)
		}
	}
	x.copies, c.copies = append(x.copies, c.copies...), nil
	for _, copied := range x.copies {
		copied.twin = x
	}
	t.stopAwaiting(x)
	t.attach(c, x, now)
	return x
}

// attach makes a conversation a copy of another one.
func (t *conversations) attach(c, x *conversation, now int64) {
	t.merged++
	t.added--
	t.forget(c)
	c.twin, c.young = x, youngSegments
	x.copies = append(x.copies, c)
	if c.delivered {
		t.late++
	}
	if c.opened || c.delivered || c.listed { // it was announced
		t.close(c, now)
	}
	c.closed = true
}

// stopAwaiting has the segments of a conversation wait for no further copy: one is enough.
func (t *conversations) stopAwaiting(c *conversation) {
	if c.waits == nil {
		return
	}
	for d := range c.waits.queues {
		if q := c.waits.queues[d]; len(q) > 0 {
			q[0].nameUntil = 0
		}
	}
	t.due = c
}

// awaitsName reports whether the first segment of a conversation should wait for a copy whose
// address has a name.
func (t *conversations) awaitsName(c *conversation) bool {
	return c.young == 1 && !c.delivered && t.hasName != nil && !t.hasName(c.role, &c.endpoints)
}

// expectName notes, as a conversation begins, that another one with the same initial offsets is
// likely to be its copy: the one without a name waits for the other.
func (t *conversations) expectName(c *conversation) {
	if t.hasName == nil {
		return
	}
	x := t.started[c.start]
	if len(t.started) >= maxOpenings {
		clear(t.started)
	}
	t.started[c.start] = c
	if x == nil || x.gone || x.key.Local == c.key.Local && x.key.Remote == c.key.Remote {
		return
	}
	c.expected = t.hasName(x.role, &x.endpoints)
	x.expected = t.hasName(c.role, &c.endpoints)
}
