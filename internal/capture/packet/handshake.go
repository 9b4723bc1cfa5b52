package packet

import (
	"slices"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// handshake takes a segment with SYN. Only the server's tells where both streams begin, and that there is someone who answers.
func (t *conversations) handshake(key event.Endpoints, d event.Direction, s *frame.Segment, now int64) {
	if s.Flags&frame.RST != 0 {
		return
	}
	if s.Flags&frame.ACK == 0 {
		if d == event.Request && len(s.Payload) > 0 && len(s.Payload) <= maxEarlyBytes {
			t.keep(key, early{seq: s.Seq + 1, data: slices.Clone(s.Payload), time: now})
		}
		return
	}
	c := t.table[key]
	if d == event.Request {
		// The end whose port is observed has connected somewhere: its port is an ephemeral one that happens to be of that number.
		if c == nil {
			c = t.meet(key, now)
		}
		c.foreign = true
		return
	}
	o := opening{[2]uint32{event.Request: s.Ack, event.Reply: s.Seq + 1}}
	if c != nil && c.opened && c.start == o {
		return // sent again
	}
	if len(t.opening) >= maxOpenings {
		t.lost.add(lostHandshake, uint64(len(t.opening)))
		clear(t.opening)
	}
	t.opening[key] = o
	if c != nil {
		c.reopening = true
	}
}

// keep remembers what a SYN carried until its handshake is complete.
func (t *conversations) keep(key event.Endpoints, e early) {
	if len(t.early) >= maxEarly {
		t.lost.add(lostHandshake, uint64(len(t.early)))
		clear(t.early)
	}
	t.early[key] = e
}

// open begins a conversation whose handshake was seen, in the place of an earlier one between the same ports if there is one.
func (t *conversations) open(earlier *conversation, key event.Endpoints, o opening, now int64) *conversation {
	if earlier != nil {
		t.dismiss(earlier, now)
	}
	c := t.meet(key, now)
	c.start, c.opened = o, true
	for d := range c.streams {
		c.streams[d] = stream{end: o.offsets[d], known: true}
	}
	e := t.early[key]
	delete(t.early, key)
	// The server has taken all of it, or the first bytes, or none and the client sends it again.
	taken := o.offsets[event.Request] - e.seq
	if taken == 0 || taken > uint32(len(e.data)) {
		t.life(c, event.Open, now)
		return c
	}
	c.streams[event.Request].end = e.seq
	t.life(c, event.Open, now)
	t.payload(c, &c.streams[event.Request], event.Request, &frame.Segment{Seq: e.seq, Payload: e.data[:taken]}, e.time)
	return c
}

// reset ends a conversation at once. A reset that does not fit what was seen of its stream is of another conversation, or forged.
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
	if c.forgetAt == 0 {
		if e := t.life(c, endOf(c, d), now); e.Kind == event.PeerClosed {
			e.Cut = event.Reset
		}
		t.leave(c, now)
	}
	t.close(c, now)
}

// finish notes the end of a stream. An end before what was seen, or far behind it, is of another conversation, or forged.
func (t *conversations) finish(c *conversation, d event.Direction, at uint32, now int64) {
	st := &c.streams[d]
	off := int32(at - st.end)
	if st.finished || st.known && (off < 0 || off > plausible) {
		return
	}
	if st.known && off > 0 {
		st.digs(hole{st.end, at})
	}
	st.end, st.known, st.finished = at, true, true
	t.life(c, endOf(c, d), now)
	if c.streams[1-d].finished {
		t.leave(c, now)
	}
}

// leave keeps a conversation in mind for a while, so that late packets of it are not taken for another.
func (t *conversations) leave(c *conversation, now int64) {
	c.forgetAt = now + linger
	t.ending = append(t.ending, c)
}

// endOf is the kind of event that says that a stream has ended.
func endOf(c *conversation, d event.Direction) event.Kind {
	if (d == event.Request) == (c.role == event.Client) {
		return event.HalfClosed
	}
	return event.PeerClosed
}

// close tells once that a conversation has ended.
func (t *conversations) close(c *conversation, now int64) {
	if !c.closed {
		c.closed = true
		t.life(c, event.Closed, now)
	}
}

// expire forgets the conversations that have ended long enough ago, up to the first of which that is still to be told. It
// reports whether there was one.
func (t *conversations) expire(now int64) bool { return len(t.ending) > 0 && t.forgetEnded(now) }

func (t *conversations) forgetEnded(now int64) bool {
	for len(t.ending) > 0 {
		c := t.ending[0]
		if !c.gone && c.forgetAt > now && len(t.ending) <= maxEnding {
			return false
		}
		t.ending[0] = nil
		t.ending = t.ending[1:]
		if c.gone {
			continue
		}
		t.forget(c)
		if !c.closed {
			t.close(c, c.forgetAt)
			return true
		}
	}
	t.ending = nil
	return false
}
