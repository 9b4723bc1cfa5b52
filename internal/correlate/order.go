package correlate

import (
	"math"

	"github.com/redis-observer/redis-observer/internal/correlate/reorder"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Here the segments of both directions of a connection come into order: they are delivered, held, or given up as gaps. Package reorder
// keeps one direction.

// arrive takes a segment at its place, or holds it until then.
func (c *conn) arrive(d event.Direction, p *reorder.Segment) {
	b := &c.buffers[d]
	if !b.Started() || c.unheard(d) {
		b.Start(p.Seq) // what is not read is not missed either
	}
	length := p.Len
	hole, fresh := b.Trim(p)
	switch {
	case !fresh:
		c.repeated(d, p.Seq, length, p.Time)
	case p.Len < length:
		c.repeated(d, p.Seq-(length-p.Len), length-p.Len, p.Time)
	}
	switch {
	case !fresh || c.mode == foreign:
		return
	case hole == 0 && !b.Ready():
		c.deliver(d, p)
	case hole > 0 && b.Empty() && c.isUrgent(d, hole, p.Data):
		b.Advance(hole)
		c.deliver(d, p)
	case hole > 0 && b.Empty() && c.skip(d, hole, 0, p.Time):
		b.Miss(hole)
		c.deliver(d, p)
	default:
		c.hold(d, *p)
	}
	if !c.buffers[event.Request].Empty() || !c.buffers[event.Reply].Empty() {
		c.undecided = c.undecided && d == event.Reply
		c.drain(event.Request)
		c.drain(event.Reply)
	}
}

// repeated takes note of n bytes at an offset that had passed. A network sends bytes again, a socket does not: unless they were given up
// before, or came before the connection was first heard of, they are others, which the socket did not count.
func (c *conn) repeated(d event.Direction, seq, n uint32, time int64) {
	if !c.tracker.options.Sockets || n == 0 || c.mode == foreign || c.buffers[d].WasMissed(seq) || c.mode == lost && c.resync.reason == MidStream {
		return
	}
	c.tracker.stats.gap(event.Repeated, n, false)
	if c.mode == paired {
		c.lose(Missing, d, time)
	}
}

// hold keeps a segment for later. If there is no room, it releases held segments, oldest first, until this one fits or its turn has come.
func (c *conn) hold(d event.Direction, p reorder.Segment) {
	b := &c.buffers[d]
	p.Until = c.tracker.now + int64(c.tracker.options.HoldFor)
	for !c.keep(b, &p) {
		c.tracker.stats.heldOverflow.Add(1)
		if b.Empty() {
			c.jump(d, b.Hole(p.Seq), p.Time)
			c.letGo = true
			c.deliver(d, &p)
			c.letGo = false
			return
		}
		c.force(d)
		if _, fresh := b.Trim(&p); !fresh {
			return
		}
	}
	c.tracker.wait(c, p.Until)
}

// keep holds a segment, if there is room.
func (c *conn) keep(b *reorder.Buffer, p *reorder.Segment) bool {
	h := &c.tracker.held
	if !b.HasRoom(p, h.perBuffer) || !h.grant(c, p.Cost()) {
		return false
	}
	b.Hold(*p)
	h.add(c, p.Cost())
	return true
}

// takeHeld removes the first held segment of a buffer. It returns false if nothing of it is new.
func (c *conn) takeHeld(b *reorder.Buffer) (reorder.Segment, bool) {
	had := b.Cost()
	p, fresh := b.Take()
	c.tracker.held.add(c, b.Cost()-had)
	return p, fresh
}

// dropHeld gives up the held segments, for others. To the streams it is as if they had not been captured.
func (c *conn) dropHeld() {
	for i := range c.buffers {
		c.tracker.stats.heldOverflow.Add(uint64(c.buffers[i].Len()))
	}
	c.clearHeld()
	c.undecided = false
	if c.doubting {
		c.tracker.wait(c, c.tracker.now)
	}
}

// clearHeld forgets what is held, and waits for nothing more.
func (c *conn) clearHeld() {
	if c.has[heldBytes] > 0 {
		for i := range c.buffers {
			c.buffers[i].Clear()
		}
		c.tracker.held.add(c, -int(c.has[heldBytes]))
	}
	c.tracker.waiting.remove(c)
}

// drain delivers held segments as long as their turn has come.
func (c *conn) drain(d event.Direction) {
	b := &c.buffers[d]
	for b.Ready() {
		if d == event.Reply && c.mode == paired {
			if c.early() {
				return
			}
			if c.stale(b.First().Time) {
				c.force(d) // which goes on with what follows
				return
			}
		}
		if p, fresh := c.takeHeld(b); fresh && !c.deliver(d, &p) {
			return
		}
	}
}

// deliver hands the segment at the expected offset to its stream. It reports false if replies were put back, to wait for their request.
func (c *conn) deliver(d event.Direction, p *reorder.Segment) bool {
	c.buffers[d].Advance(p.Len)
	switch {
	case c.mode == foreign:
	case p.Data == nil || p.Reason == event.Urgent && c.standsApart(d, p.Data[0]):
		c.gap(d, p.Len, p.Reason, p.Time)
	case d == event.Request:
		c.request(p.Data, p.Time)
	default:
		return c.reply(p)
	}
	return true
}

// force releases the first held segment of a direction, whatever it waits for.
func (c *conn) force(d event.Direction) {
	b := &c.buffers[d]
	switch first := *b.First(); {
	case b.Ready():
	case isMark(&first):
		c.overhear(d, &first)
	default:
		c.jump(d, b.Hole(first.Seq), first.Time)
	}
	c.letGo = true
	c.outdated = d == event.Reply && c.mode == paired && c.stale(b.First().Time)
	if p, fresh := c.takeHeld(b); fresh {
		c.deliver(d, &p)
	}
	c.letGo, c.outdated, c.undecided = false, false, false
	c.drain(d)
}

// jump leaves out bytes that will not come, before what came at a time.
func (c *conn) jump(d event.Direction, missing uint32, time int64) {
	if missing == 0 {
		return
	}
	c.buffers[d].Miss(missing)
	c.gap(d, missing, 0, time)
}

// expire gives up what was held too long, and returns the next deadline.
func (c *conn) expire() int64 {
	next := int64(math.MaxInt64)
	for d := range event.Direction(len(c.buffers)) {
		b := &c.buffers[d]
		for b.Deadline() <= c.tracker.now {
			c.force(d)
			c.drain(event.Reply)
		}
	}
	next = min(next, c.outlast())
	for d := range c.buffers { // last: what was let go may have put replies back
		next = min(next, c.buffers[d].Deadline())
	}
	c.checkEnd()
	return next
}

// flush gives up waiting for anything.
func (c *conn) flush() {
	for _, d := range [...]event.Direction{event.Request, event.Reply} {
		for !c.buffers[d].Empty() {
			c.force(d)
		}
	}
	if c.doubting {
		c.believe()
	}
}

// gap takes note that n bytes of a stream are missing, which passed at that time at the latest.
func (c *conn) gap(d event.Direction, n uint32, reason event.Reason, time int64) {
	if reason == event.Urgent && c.between(d) {
		c.tracker.stats.gap(reason, n, true)
		return
	}
	if c.skip(d, n, reason, time) {
		return
	}
	if d == event.Request {
		c.loseUnasked()
	}
	if c.isUnread(d, n, reason, time) {
		c.tracker.stats.gap(reason, n, true)
		return
	}
	c.tracker.stats.gap(reason, n, false)
	switch c.mode {
	case paired:
		c.lose(Missing, d, time)
	case lost:
		c.resync.trial = trial{}
		c.resync.heard(time, d)
		c.resync.follows = c.resync.follows && d == event.Reply
	case replica:
		c.requests.Reset()
	}
}

// skip leaves out bytes whose content does not matter. The streams are tried on copies: a stream that refuses a gap has forgotten where it was.
func (c *conn) skip(d event.Direction, n uint32, reason event.Reason, time int64) bool {
	switch {
	case c.mode == lost && !c.resync.trial.on && (d == event.Reply || !c.resync.follows):
		return false
	case c.mode == foreign, c.unheard(d), c.deaf && d == event.Request:
		c.tracker.stats.gap(reason, n, true)
		return true
	case c.mayBeUrgent(d, n, reason):
		return false
	}
	if d == event.Request {
		if s := c.requests; !s.Gap(n) {
			return false
		}
		c.requests.Gap(n)
		c.tracker.stats.gap(reason, n, true)
		c.request(nil, c.started)
		return true
	}
	if s := c.replies; !s.Gap(n) {
		return false
	}
	c.replies.Gap(n)
	c.tracker.stats.gap(reason, n, true)
	c.reply(&reorder.Segment{Time: time})
	return true
}
