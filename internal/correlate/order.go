package correlate

import (
	"math"

	"github.com/redis-observer/redis-observer/internal/event"
)

// Here the pieces of both flows of a connection come into order: they are delivered, held, or given up as gaps. flow.go keeps one flow.

// arrive takes a piece of a flow at its place, or holds it until then.
func (c *conn) arrive(d event.Direction, p *piece) {
	f := &c.flows[d]
	if !f.known || c.unheard(d) {
		f.start(p.seq) // what is not read is not missed either
	}
	length := p.len
	missing, fresh := f.trim(p)
	switch {
	case !fresh:
		c.repeated(d, p.seq, length, p.time)
	case p.len < length:
		c.repeated(d, p.seq-(length-p.len), length-p.len, p.time)
	}
	switch {
	case !fresh || c.mode == foreign:
		return
	case missing == 0 && !f.ready():
		c.deliver(d, p)
	case missing > 0 && len(f.held) == 0 && c.isUrgent(d, missing, p):
		f.next += missing
		c.deliver(d, p)
	case missing > 0 && len(f.held) == 0 && c.skip(d, missing, 0, p.time):
		f.miss(missing)
		c.deliver(d, p)
	default:
		c.hold(d, *p)
	}
	if len(c.flows[event.Request].held)+len(c.flows[event.Reply].held) > 0 {
		c.undecided = c.undecided && d == event.Reply
		c.drain(event.Request)
		c.drain(event.Reply)
	}
}

// repeated takes note of n bytes at an offset that had passed. A network sends bytes again, a socket does not: unless they were given up
// before, or came before the connection was first heard of, they are others, which the socket did not count.
func (c *conn) repeated(d event.Direction, seq, n uint32, time int64) {
	if !c.tracker.options.Sockets || n == 0 || c.mode == foreign || c.flows[d].isLate(seq) || c.mode == lost && c.resync.reason == MidStream {
		return
	}
	c.tracker.stats.gap(event.Repeated, n, false)
	if c.mode == paired {
		c.lose(Missing, d, time)
	}
}

// hold keeps a piece for later. If there is no room, it releases held pieces, oldest first, until this one fits or its turn has come.
func (c *conn) hold(d event.Direction, p piece) {
	f := &c.flows[d]
	p.until = c.tracker.now + int64(c.tracker.options.HoldFor)
	for !c.keep(f, &p) {
		c.tracker.stats.heldOverflow.Add(1)
		if len(f.held) == 0 {
			c.jump(d, uint32(max(0, f.distance(p.seq))), p.time)
			c.letGo = true
			c.deliver(d, &p)
			c.letGo = false
			return
		}
		c.force(d)
		if _, fresh := f.trim(&p); !fresh {
			return
		}
	}
	c.tracker.wait(c, p.until)
}

// keep holds a piece of a flow, if there is room.
func (c *conn) keep(f *flow, p *piece) bool {
	s := &c.tracker.shelf
	if !f.hasRoom(p, s) || !s.grant(c, p.cost()) {
		return false
	}
	f.hold(*p)
	s.add(c, p.cost())
	return true
}

// takeHeld removes the first held piece of a flow. It returns false if nothing of it is new.
func (c *conn) takeHeld(f *flow) (piece, bool) {
	had := f.bytes
	p, fresh := f.take()
	c.tracker.shelf.add(c, f.bytes-had)
	return p, fresh
}

// dropHeld gives up what is held, for others. To the flows it is as if it had not been captured.
func (c *conn) dropHeld() {
	for i := range c.flows {
		c.tracker.stats.heldOverflow.Add(uint64(len(c.flows[i].held)))
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
		for i := range c.flows {
			c.flows[i].held, c.flows[i].bytes = nil, 0
		}
		c.tracker.shelf.add(c, -int(c.has[heldBytes]))
	}
	c.tracker.waiting.remove(c)
}

// drain delivers held pieces as long as their turn has come.
func (c *conn) drain(d event.Direction) {
	f := &c.flows[d]
	for f.ready() {
		if d == event.Reply && c.mode == paired {
			if c.early() {
				return
			}
			if c.stale(f.held[0].time) {
				c.force(d) // which goes on with what follows
				return
			}
		}
		if p, fresh := c.takeHeld(f); fresh && !c.deliver(d, &p) {
			return
		}
	}
}

// deliver hands the piece at the expected offset to its stream. It reports false if replies were put back, to wait for their request.
func (c *conn) deliver(d event.Direction, p *piece) bool {
	c.flows[d].next += p.len
	switch {
	case c.mode == foreign:
	case p.data == nil || p.reason == event.Urgent && c.standsApart(d, p.data[0]):
		c.gap(d, p.len, p.reason, p.time)
	case d == event.Request:
		c.request(p.data, p.time)
	default:
		return c.reply(p)
	}
	return true
}

// force gives up waiting for what the first held piece of a flow waits for.
func (c *conn) force(d event.Direction) {
	f := &c.flows[d]
	switch first := f.held[0]; {
	case f.ready():
	case first.isMark():
		c.overhear(d, &first)
	default:
		c.jump(d, f.missing(), first.time)
	}
	c.letGo = true
	c.outdated = d == event.Reply && c.mode == paired && c.stale(f.held[0].time)
	if p, fresh := c.takeHeld(f); fresh {
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
	c.flows[d].miss(missing)
	c.gap(d, missing, 0, time)
}

// expire gives up what was held too long, and returns the next deadline.
func (c *conn) expire() int64 {
	next := int64(math.MaxInt64)
	for d := range event.Direction(len(c.flows)) {
		f := &c.flows[d]
		for f.deadline() <= c.tracker.now {
			c.force(d)
			c.drain(event.Reply)
		}
	}
	next = min(next, c.outlast())
	for d := range c.flows { // last: what was let go may have put replies back
		next = min(next, c.flows[d].deadline())
	}
	c.checkEnd()
	return next
}

// flush gives up waiting for anything.
func (c *conn) flush() {
	for _, d := range [...]event.Direction{event.Request, event.Reply} {
		for len(c.flows[d].held) > 0 {
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
	c.reply(&piece{time: time})
	return true
}
