package correlate

import (
	"math"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
)

// ending is the end of a connection: what is made of its outstanding commands, the oldest first.
type ending struct {
	reason  Reason
	now     int64
	answers uint32 // replies that stand before that of the next command
	told    uint32 // commands whose outcome was reported
}

// end reports what is still outstanding as unanswered. What the server can never have run does not count: what waits behind a command
// that blocks, or by which the client had its own connection or the server ended, and what was queued without an EXEC.
func (c *conn) end(reason Reason, now int64) {
	switch {
	case c.mode == foreign:
	case c.spoke:
		c.heardServer() // a client that speaks RESP and is not answered is taken at its word
	case c.unknown: // bytes are missing: the rest proves nothing
	case c.asked, c.banner != 0:
		c.recognise(KindNotRedis)
	}
	outstanding := c.pending.count + c.tx.queue.count
	if c.probation.stage == mute && c.pending.count > 0 {
		c.disprove()
	}
	e := ending{reason: reason, now: now}
	if !(c.killed && reason == ServerClosed) {
		c.reportOutstanding(&e)
	}
	c.tracker.stats.dropped.Add(uint64(outstanding - e.told))
	c.forgetPending()
	c.release()
	c.mode, c.ends = foreign, false
}

// reportOutstanding reports what the server has run or may have run.
func (c *conn) reportOutstanding(e *ending) {
	first := uint32(0) // of those in the FIFO that are queued
	for i := range c.pending.runs {
		p := c.pending.at(i)
		if c.tx.open && p.verb.queued() {
			e.answers += p.count()
			continue
		}
		switch p.verb {
		case multi:
			if !c.tx.open {
				c.tx.open, first = true, i+1
			}
		case exec:
			if c.tx.open {
				c.unanswerQueued(first, i, e)
			}
			c.tx.open = false
		case discard, reset:
			c.tx.end(&c.tracker.slots)
		}
		if !c.unanswerRun(p, i, e) || p.verb == shutdown || p.verb == quit {
			return
		}
	}
}

// unanswerRun reports the commands of the i-th run. It returns false if the server cannot have run what is behind one of them, or
// nobody knows whether it did.
func (c *conn) unanswerRun(p *pending, i uint32, e *ending) bool {
	for n := p.count(); n > 0; n-- {
		c.unanswer(p, e)
		if p.flags&blocks == 0 || c.isServed(e) {
			continue
		}
		if unknown := c.behind(i, n-1); unknown > 0 && (c.maybeServed(i, n-1, e) || !c.isBlocked(e)) {
			c.unpaired(e.reason, unknown)
			e.told += unknown
		}
		return false
	}
	return true
}

// isServed reports whether it is certain that the last command, which blocks, was answered: the client left something unread,
// which can only have begun with the reply to the first command. The server ran on then, up to the next that blocks.
func (c *conn) isServed(e *ending) bool {
	return c.left > 0 && e.answers == 1 && c.proto == 2 && !c.sub.any() && !c.monitors
}

// shortestReply is the length of the shortest replies: "_" and an empty status, with the end of their line.
const shortestReply = 3

// maybeServed reports whether what the client left unread may have held the reply to a command that blocks, of the i-th run with so many of
// that run behind it, and to all that the server ran at once then, which is what comes before the next one that blocks.
func (c *conn) maybeServed(i, same uint32, e *ending) bool {
	unread := uint32(c.left)
	if unread == math.MaxUint8 {
		return true
	}
	needed := e.answers
	for i++; same == 0 && i < c.pending.runs && needed*shortestReply <= unread; i++ {
		p := c.pending.at(i)
		if p.flags&(blocks|noReply) != 0 || p.verb.setsSilence() {
			break
		}
		needed += p.count()
	}
	return unread > 0 && needed*shortestReply <= unread
}

// behind returns how many commands wait behind one of the i-th run that has so many of its run behind it, up to a QUIT or a SHUTDOWN.
func (c *conn) behind(i, same uint32) uint32 {
	n := same
	for i++; i < c.pending.runs; i++ {
		p := c.pending.at(i)
		n += p.count()
		if p.verb == quit || p.verb == shutdown {
			break
		}
	}
	return n
}

// isBlocked reports whether it is certain that the server had not come past the command that blocks when the connection ended. A server
// that closed has answered what it has run; at its own end that holds too if it could write still, or has written since the last request
// came. Otherwise what it had to say may have met the close on its way: then there must have been a silence.
func (c *conn) isBlocked(e *ending) bool {
	asked := c.pending.at(c.pending.runs - 1).time
	if e.reason == ServerClosed || c.role == event.Server && (!c.cut || c.replying > asked) {
		return true
	}
	return c.closed-max(c.replying, asked) >= int64(c.tracker.options.Quiet)
}

// unanswerQueued reports what an unanswered EXEC ran: the transaction, and those in the FIFO from first up to the EXEC.
func (c *conn) unanswerQueued(first, end uint32, e *ending) {
	answers := e.answers
	for i := range c.tx.queue.runs {
		c.unanswerAll(c.tx.queue.at(i), e)
	}
	for i := first; i < end; i++ {
		if p := c.pending.at(i); p.verb.queued() {
			c.unanswerAll(p, e)
		}
	}
	e.answers = answers // that of EXEC has them all
	c.tx.queue.clear(&c.tracker.slots)
}

// unanswerAll reports each command of a run.
func (c *conn) unanswerAll(p *pending, e *ending) {
	for range p.count() {
		c.unanswer(p, e)
	}
}

// unanswer reports a command that gets no reply any more, because there is none by design or because the connection ended. That the
// server closes is what QUIT asks for, and the answer of servers that say nothing before.
func (c *conn) unanswer(p *pending, e *ending) {
	silent := c.isSilent(p)
	c.pass(p)
	e.told++
	switch {
	case silent || p.verb == shutdown && e.reason == ServerClosed:
		c.emit(p, 1, Silent, command.OtherPrefix, NoReason, p.time)
		return
	case p.verb == quit && e.reason == ServerClosed:
		c.emit(p, 1, Success, command.OtherPrefix, NoReason, e.now)
	default:
		c.emit(p, 1, Unanswered, command.OtherPrefix, e.reason, e.now)
	}
	e.answers++
}
