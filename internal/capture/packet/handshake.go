package packet

import (
	"slices"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// handshake handles a segment with SYN. Only the server's SYN has the first offsets of both
// streams, and shows that the server answers.
func (t *conversations) handshake(key event.Endpoints, d event.Direction, s *frame.Segment, now int64) {
	if s.Flags&frame.RST != 0 {
		return
	}
	if s.Flags&frame.ACK == 0 {
		if d == event.Request && len(s.Payload) > 0 && len(s.Payload) <= maxEarlyBytes {
			t.keep(key, early{seq: s.Seq + 1, data: slices.Clone(s.Payload), time: now})
		}
		if d == event.Request {
			t.noteSYN(key, s.Seq+1, now)
		}
		return
	}
	c := t.table[key]
	if d == event.Request {
		// The end with the observed port is the one that connects: its ephemeral port has that
		// number by chance.
		if c == nil {
			c = t.add(key, now)
		}
		c.foreign = true
		return
	}
	o := opening{[2]uint32{event.Request: s.Ack, event.Reply: s.Seq + 1}}
	if c != nil && c.opened && c.start == o {
		return // a retransmission
	}
	if len(t.opening) >= maxOpenings {
		t.lost.add(lostHandshake, uint64(len(t.opening)))
		clear(t.opening)
	}
	t.opening[key] = o
	t.noteAnswer(&key, o)
	if first, found := t.syns[key]; found && first.offset == o.offsets[event.Request] && first.answered == 0 {
		first.answered = now
		t.syns[key] = first
	}
	if c != nil {
		c.reopening = true
	}
}

// noteSYN stores the first offset of a client, and when it sent it first. If the answer to its SYN is read later than what the
// client sends next, or never, the acknowledgement number of that is the server's first offset.
func (t *conversations) noteSYN(key event.Endpoints, first uint32, now int64) {
	if len(t.syns) >= maxOpenings {
		clear(t.syns) // where packets are in order, only how long it took to connect is lost, or that it failed
	}
	if earlier, found := t.syns[key]; !found || earlier.offset != first {
		t.syns[key] = syn{offset: first, time: now, untimed: t.untimed}
	}
	if c := t.table[key]; c != nil && (c.twin != nil || c.removeAt != 0) {
		c.reopening = true
	}
}

// keep stores the payload of a SYN until its handshake is complete.
func (t *conversations) keep(key event.Endpoints, e early) {
	if len(t.early) >= maxEarly {
		t.lost.add(lostHandshake, uint64(len(t.early)))
		clear(t.early)
	}
	t.early[key] = e
}

// open adds a conversation whose handshake was seen. It replaces an earlier one between the same
// ports.
func (t *conversations) open(earlier *conversation, key event.Endpoints, o opening, now int64) *conversation {
	if earlier != nil {
		t.discard(earlier, now)
	}
	c := t.add(key, now)
	c.start, c.opened = o, true
	t.expectName(c)
	for d := range c.streams {
		c.streams[d] = stream{end: o.offsets[d], known: true}
	}
	took := t.took(c, o)
	delete(t.syns, key)
	delete(t.answers, o)
	e := t.early[key]
	delete(t.early, key)
	// The server accepted all of it, or its first bytes, or none; the client sends the rest again.
	taken := o.offsets[event.Request] - e.seq
	if taken == 0 || taken > uint32(len(e.data)) {
		t.life(c, event.Open, now).Took = took
		return c
	}
	c.streams[event.Request].end = e.seq
	t.life(c, event.Open, now).Took = took
	t.payload(c, &c.streams[event.Request], event.Request, &frame.Segment{Seq: e.seq, Payload: e.data[:taken]}, e.time)
	return c
}

// reset ends a conversation at once. It ignores a reset whose offset is implausible for the stream:
// that is of another conversation, or forged.
func (t *conversations) reset(c *conversation, d event.Direction, s *frame.Segment, now int64) {
	const tolerance = 1 << 24
	st := &c.streams[d]
	off := int32(s.Seq - st.end)
	if st.known && (off > tolerance || off < -tolerance) {
		return
	}
	if st.known && off > 0 {
		st.end = s.Seq
	}
	if c.removeAt == 0 {
		if e := t.life(c, endOf(c, d), now); e.Kind == event.PeerClosed {
			e.Cut = event.Reset
		}
		t.retire(c, now)
	}
	t.close(c, now)
}

// finish handles the end of a stream. It ignores an end before the last offset seen, or far behind
// it: that is of another conversation, or forged.
func (t *conversations) finish(c *conversation, d event.Direction, at uint32, now int64) {
	st := &c.streams[d]
	off := int32(at - st.end)
	if st.finished || st.known && (off < 0 || off > plausible) {
		return
	}
	if st.known && off > 0 {
		st.addHole(hole{st.end, at})
	}
	st.end, st.known, st.finished = at, true, true
	t.life(c, endOf(c, d), now)
	if c.streams[1-d].finished {
		t.retire(c, now)
	}
}

// retire keeps an ended conversation in the table for a while, so that its late packets do not add
// another one.
func (t *conversations) retire(c *conversation, now int64) {
	c.removeAt = now + linger
	t.ending = append(t.ending, c)
}

// endOf returns the kind of event for the end of a stream.
func endOf(c *conversation, d event.Direction) event.Kind {
	if (d == event.Request) == (c.role == event.Client) {
		return event.HalfClosed
	}
	return event.PeerClosed
}

// close queues the end of a conversation, once.
func (t *conversations) close(c *conversation, now int64) {
	if !c.closed {
		c.closed = true
		t.life(c, event.Closed, now)
	}
}

// expire removes conversations that ended long enough ago, until it has queued the end of one. It
// reports whether it queued an event. Before, it delivers segments that waited.
func (t *conversations) expire(now int64) bool {
	return (t.due != nil || len(t.waiting) > 0) && t.release(now) || len(t.ending) > 0 && t.removeEnded(now)
}

func (t *conversations) removeEnded(now int64) bool {
	for len(t.ending) > 0 {
		c := t.ending[0]
		if !c.gone && c.removeAt > now && len(t.ending) <= maxEnding {
			return false
		}
		t.ending[0] = nil
		t.ending = t.ending[1:]
		if c.gone {
			continue
		}
		t.remove(c)
		if !c.closed {
			t.close(c, c.removeAt)
			return true
		}
	}
	t.ending = nil
	return false
}
