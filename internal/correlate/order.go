package correlate

import (
	"github.com/redis-observer/redis-observer/internal/correlate/reorder"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Here the segments of both directions of a connection come into order: they are delivered to the
// session, held, or given up as gaps. Package reorder keeps one direction; the session decides
// which replies wait for a request.

// arrive takes a segment at its place, or holds it until then.
func (c *conn) arrive(d event.Direction, p *reorder.Segment) {
	b := &c.buffers[d]
	if !b.Started() || c.session.Ignores(d) {
		b.Start(p.Seq) // bytes that are not read are not missed either
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
	case !fresh || c.session.Closed():
		return
	case hole == 0 && !b.Ready():
		c.deliver(d, p, 0)
	case hole > 0 && b.Empty() && c.session.IsUrgent(d, hole, p.Data):
		b.Advance(hole)
		c.deliver(d, p, 0)
	case hole > 0 && b.Empty() && c.elide(d, hole, p.Time):
		b.Miss(hole)
		c.deliver(d, p, 0)
	default:
		c.hold(d, *p)
	}
	if c.holds() {
		if d == event.Request {
			c.session.Reconsider()
		}
		c.drain(event.Request)
		c.drain(event.Reply)
	}
}

// repeated notes n bytes at an offset that had passed. A network sends bytes again, a socket does
// not: unless they were given up before, they are others.
func (c *conn) repeated(d event.Direction, seq, n uint32, time int64) {
	if c.tracker.shared.Sockets && n > 0 && !c.buffers[d].WasMissed(seq) {
		c.session.Repeated(d, n, time)
	}
}

// elide passes over a hole if the session needs none of its bytes.
func (c *conn) elide(d event.Direction, hole uint32, time int64) bool {
	elided := c.session.Elide(d, hole, 0, c.arrival(d, time))
	c.settle()
	return elided
}

// elideHeld passes over the hole before the first held segment, as elide does. A mark on the way
// there is of no more use. It reports false if the hole remains.
func (c *conn) elideHeld(d event.Direction) bool {
	b := &c.buffers[d]
	first := b.FirstBytes()
	if first == nil {
		return false
	}
	hole := b.Hole(first.Seq)
	if !c.elide(d, hole, first.Time) {
		return false
	}
	b.Miss(hole)
	return b.Ready()
}

// hold keeps a segment for later. If there is no room, it releases held segments, oldest first,
// until this one fits or its turn has come.
func (c *conn) hold(d event.Direction, p reorder.Segment) {
	b := &c.buffers[d]
	p.Until = c.tracker.shared.Now + int64(c.tracker.options.HoldFor)
	for !c.keep(b, &p) {
		c.tracker.stats.heldOverflow.Add(1)
		if b.Empty() {
			c.jump(d, b.Hole(p.Seq), p.Time)
			c.deliver(d, &p, session.Released)
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

// holds reports whether any segments are held.
func (c *conn) holds() bool { return c.share.has[heldBytes] > 0 }

// takeHeld removes the first held segment of a buffer. It returns false if nothing of it is new.
func (c *conn) takeHeld(b *reorder.Buffer) (reorder.Segment, bool) {
	had := b.Cost()
	p, fresh := b.Take()
	c.tracker.held.add(c, b.Cost()-had)
	return p, fresh
}

// dropHeld gives up the held segments, for others. To the streams it is as if they had not been
// captured.
func (c *conn) dropHeld() {
	for i := range c.buffers {
		c.tracker.stats.heldOverflow.Add(uint64(c.buffers[i].Len()))
	}
	c.clearHeld()
	c.session.Reconsider()
	if c.session.InDoubt() {
		c.tracker.wait(c, c.tracker.shared.Now)
	}
}

// clearHeld drops the held segments, and waits for nothing more.
func (c *conn) clearHeld() {
	if c.holds() {
		for i := range c.buffers {
			c.buffers[i].Clear()
		}
		c.tracker.held.add(c, -int(c.share.has[heldBytes]))
	}
	c.tracker.waiting.remove(c)
}

// drain delivers held segments as long as their turn has come.
func (c *conn) drain(d event.Direction) {
	b := &c.buffers[d]
	for b.Ready() || c.elideHeld(d) {
		if d == event.Reply {
			if c.session.MustWait(b.First().Time) {
				return
			}
			if c.session.State() == session.Paired && !c.sentAtEnd() && c.session.IsOutdated(b.First().Time) {
				c.force(d) // which goes on with those that follow
				return
			}
		}
		if p, fresh := c.takeHeld(b); fresh && !c.deliver(d, &p, 0) {
			return
		}
	}
}

// sentAtEnd reports whether sends may have the time of their end, as those on Unix sockets have:
// another thread may have received the reply before.
func (c *conn) sentAtEnd() bool {
	_, unix := c.endpoints.Path(c.role)
	return unix
}

// deliver gives the segment at the expected offset to the session. It reports false if replies were
// put back, to wait for their request.
func (c *conn) deliver(d event.Direction, p *reorder.Segment, how session.How) (taken bool) {
	c.buffers[d].Advance(p.Len)
	if c.session.Closed() {
		return true
	}
	if d == event.Request && c.session.State() == session.Desynced {
		c.letGo(p.Time)
	}
	taken = true
	switch a := (session.Arrival{Time: p.Time, End: c.buffers[d].Next(), How: how | c.beside(d, p.Time), Readable: p.Arrivals}); {
	case p.Data == nil || p.Reason == event.Urgent && c.session.StandsApart(d, p.Data[0]):
		c.session.Gap(d, p.Len, p.Reason, a)
	case d == event.Request:
		c.session.Request(p.Data, a)
	default:
		if rest := c.session.Reply(p.Data, a); rest != nil {
			c.putBack(p, rest)
			taken = false
		}
	}
	c.settle()
	return taken
}

// letGo releases a reply that waits and came before a request was sent at a time, which it does not
// answer.
func (c *conn) letGo(time int64) {
	if b := &c.buffers[event.Reply]; b.Ready() && b.First().Time <= time {
		c.force(event.Reply)
	}
}

// putBack holds the rest of a segment of replies, which has to wait for its request.
func (c *conn) putBack(p *reorder.Segment, rest []byte) {
	n := uint32(len(rest))
	c.buffers[event.Reply].PutBack(n)
	c.hold(event.Reply, reorder.Segment{Seq: p.Seq + p.Len - n, Len: n, Data: rest, Time: p.Time, Arrivals: p.Arrivals})
}

// arrival returns how bytes come to be read that end at the next offset.
func (c *conn) arrival(d event.Direction, time int64) session.Arrival {
	return session.Arrival{Time: time, End: c.buffers[d].Next(), How: c.beside(d, time)}
}

// beside returns How for bytes as to the segments of the other direction that are held.
func (c *conn) beside(d event.Direction, time int64) session.How {
	if !c.holds() {
		return 0
	}
	return c.besideHeld(d, time)
}

// besideHeld is beside if any segments are held. A held reply is a greeting if it is ready to be
// read, came before a time, and no Redis server sends it unasked.
func (c *conn) besideHeld(d event.Direction, time int64) session.How {
	if c.buffers[d^1].Empty() {
		return 0
	}
	b := &c.buffers[event.Reply]
	if d == event.Reply || c.session.Asked() || !b.Ready() {
		return session.OtherHeld
	}
	first := b.First()
	if len(first.Data) > 0 && session.IsGreeting(first.Data[0]) && first.Time < time {
		return session.OtherHeld | session.Greeted
	}
	return session.OtherHeld
}

// force releases the first held segment of a direction, whatever it waits for.
func (c *conn) force(d event.Direction) {
	b := &c.buffers[d]
	switch first := *b.First(); {
	case b.Ready():
	case isMark(&first):
		c.giveUpMark(d, &first)
	default:
		c.jump(d, b.Hole(first.Seq), first.Time)
	}
	if b.Empty() {
		return // the hole was the end of a frame, and the frame that of a connection that is not Redis
	}
	how := session.Released
	if d == event.Reply && c.session.State() == session.Paired && c.session.IsOutdated(b.First().Time) {
		how |= session.Outdated
	}
	if p, fresh := c.takeHeld(b); fresh {
		c.deliver(d, &p, how)
	}
	c.session.Reconsider()
	c.drain(d)
}

// jump gives up bytes that will not come, before those that came at a time.
func (c *conn) jump(d event.Direction, missing uint32, time int64) {
	if missing == 0 {
		return
	}
	c.buffers[d].Miss(missing)
	c.session.Gap(d, missing, 0, c.arrival(d, time))
	c.settle()
}

// expire releases the segments that were held too long, and returns the next deadline.
func (c *conn) expire() int64 {
	c.stamp()
	for d := range event.Direction(len(c.buffers)) {
		b := &c.buffers[d]
		for b.Deadline() <= c.tracker.shared.Now {
			c.force(d)
			c.drain(event.Reply)
		}
	}
	c.session.ExpireDoubt()
	next := c.session.DoubtUntil()
	for d := range c.buffers { // last: releasing may have put replies back
		next = min(next, c.buffers[d].Deadline())
	}
	c.checkEnd()
	return next
}

// flush gives up waiting for anything.
func (c *conn) flush() {
	c.stamp()
	for _, d := range [...]event.Direction{event.Request, event.Reply} {
		for !c.buffers[d].Empty() {
			c.force(d)
		}
	}
	c.session.EndDoubt()
}
