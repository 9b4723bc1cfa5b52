package correlate

import (
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// silence is the CLIENT REPLY mode in effect for the oldest outstanding command; later commands may still change it.
type silence uint8

const (
	answering silence = iota
	skipNext
	silenced
)

// asObeyed returns the verb of the oldest command as the server takes it: a RESP2 connection that is subscribed is refused CLIENT REPLY.
func (c *conn) asObeyed(v verb) verb {
	if v.setsSilence() && c.proto == 2 && !c.unknown && c.sub.counted() {
		return ordinary
	}
	return v
}

// isSilent tells whether the oldest command gets no reply.
func (c *conn) isSilent(p *pending) bool {
	v := c.asObeyed(p.verb)
	switch {
	case c.tx.open && c.silence == answering:
		return false // it is answered when it is queued
	case c.tx.open && v == replyOn:
		return true // it is queued, and that is not answered
	case v == monitor && c.silence == answering:
		return c.monitors // a second MONITOR is not answered
	}
	return v.silentIn(c.silence, p.flags)
}

// silentIn tells whether a command with such flags gets no reply outside of a transaction, whatever else the state of its connection is.
func (v verb) silentIn(quiet silence, f pendingFlags) bool {
	switch {
	case quiet == silenced && v == reset:
		return false
	case quiet != answering:
		return v != replyOn
	}
	return v == replyOff || v == replySkip || f&noReply != 0
}

// behind returns what a command, once run outside of a transaction, leaves of the silence.
func (s silence) behind(v verb) silence {
	switch {
	case v == replyOn || v == reset:
		return answering
	case v == replyOff || s == silenced:
		return silenced
	case v == replySkip:
		return skipNext
	default:
		return answering
	}
}

// pass notes what a command, once run outside of a transaction, leaves of the silence.
func (c *conn) pass(p *pending) {
	c.silence = c.silence.behind(c.asObeyed(p.verb))
}

// settleSilent takes the commands that get no reply off the head of the FIFO, as if they had succeeded.
func (c *conn) settleSilent() {
	c.doubting = false
	for !c.pending.empty() && !c.tx.running {
		p := c.pending.at(0)
		if !c.isSilent(p) {
			return
		}
		if c.silence == answering && !c.believing && c.doubt(p) {
			return
		}
		if c.tx.open && p.verb.queued() {
			c.enqueue()
			continue
		}
		if p.verb == exec && !c.runSilently() {
			return
		}
		silent := c.pending.pop(1, &c.tracker.slots)
		c.emit(&silent, 1, Silent, command.OtherPrefix, NoReason, silent.time)
		c.silentEffect(&silent)
	}
}

// silentEffect does what a command does whose reply nobody sees.
func (c *conn) silentEffect(p *pending) {
	if c.mode == replica {
		return // a link stays what it is, whatever runs through it
	}
	c.pass(p)
	switch {
	case p.verb == multi:
		c.tx.begin()
	case p.verb == discard:
		c.tx.end(&c.tracker.slots)
	case p.verb == reset:
		c.begin()
	case p.verb == monitor:
		c.monitors = true
	case p.verb == quit:
		c.hangUp(0)
	case p.verb.subscribes():
		c.quietAcks = true
	}
}

// begin is what RESET makes of a connection.
func (c *conn) begin() {
	c.tx.end(&c.tracker.slots)
	c.sub, c.proto, c.monitors, c.quietAcks, c.unknown, c.silence = subscriptions{}, 2, false, false, false, answering
}

// hangUp: the server reads no more requests, and runs no more than the n oldest of those that it has.
func (c *conn) hangUp(n uint32) {
	c.tracker.stats.dropped.Add(uint64(c.pending.count - n))
	c.pending.truncate(n)
	c.deafen()
}

// resetSilently takes a RESET off the FIFO that a reply behind it does not answer: the server is older than the command, and
// CLIENT REPLY withheld its complaint. The reply is that of a later command.
func (c *conn) resetSilently(r *parser.Reply) {
	p := c.pending.at(0)
	c.emit(p, 1, Silent, command.OtherPrefix, NoReason, p.time)
	c.pending.pop(1, &c.tracker.slots)
	c.settleSilent()
	if c.awaited = !c.pending.empty(); c.awaited {
		c.answer(r)
		return
	}
	c.orphan(r, false)
}
