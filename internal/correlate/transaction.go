package correlate

import (
	"bytes"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// transaction holds what was queued between MULTI and EXEC. Queued commands count when EXEC runs them, those that are dropped never.
type transaction struct {
	queue   fifo
	open    bool // between the reply to MULTI and the end
	running bool // the elements of EXEC's reply are being read
	partial bool // it was open already when the connection came into step: what was queued before is not known
}

func (tx *transaction) begin() {
	tx.open = true
}

// end drops what is queued.
func (tx *transaction) end(s *slots) {
	tx.queue.clear(s)
	tx.open, tx.running, tx.partial = false, false, false
}

// queued reports whether the server queues the verb inside a transaction.
func (v verb) queued() bool {
	switch v {
	case multi, exec, discard, quit, reset:
		return false
	default:
		return true
	}
}

// isQueued reports whether a reply says that the command was queued. On a connection of unknown history that tells of a MULTI not seen.
func (c *conn) isQueued(p *pending, r *parser.Reply) bool {
	if c.tx.running || r.Type != '+' || !p.verb.queued() || !bytes.Equal(r.Text, []byte("QUEUED")) {
		return false
	}
	if !c.tx.open && c.unknown {
		c.tx.open, c.tx.partial = true, true
	}
	return c.tx.open
}

// enqueue moves the oldest pending command into the transaction.
func (c *conn) enqueue() {
	queued := c.pending.pop(1, &c.tracker.slots)
	place := c.tx.queue.push(&c.tracker.slots)
	if place == nil {
		c.unpaired(Overflow, 1)
		c.lose(Overflow, event.Reply, c.replying)
		return
	}
	*place = queued
}

// executed takes the reply of EXEC: the header of an array whose elements follow as frames, null if a watched key changed,
// or a whole frame where the elements cannot be paired.
func (c *conn) executed(r *parser.Reply) {
	switch {
	case r.Null || r.Type != '*' || r.Len == 0 && c.tx.queue.empty():
		c.tx.end(&c.tracker.slots)
		c.finish(Success, command.OtherPrefix)
	case !c.header:
		reason := Transaction
		if c.unknown {
			reason = MidStream
		}
		c.unpaired(reason, max(c.tx.queue.count, clampCount(r.Len)))
		c.tx.end(&c.tracker.slots)
		c.finish(Success, command.OtherPrefix)
	case r.Len != int64(c.tx.queue.count):
		c.lose(Transaction, event.Reply, c.replying)
	default:
		c.tx.running = true
		c.settleQueued()
	}
}

// finishQueued ends the queued command whose element was read.
func (c *conn) finishQueued(outcome Outcome, prefix command.Prefix) {
	c.emit(c.tx.queue.at(0), 1, outcome, prefix, NoReason, c.replying)
	c.tx.queue.pop(1, &c.tracker.slots)
	c.settleQueued()
}

// settleQueued takes the queued commands off that have no element in the reply, because of a CLIENT REPLY among them, and ends EXEC after the last.
func (c *conn) settleQueued() {
	silent := false
	for !c.tx.queue.empty() {
		p := c.tx.queue.at(0)
		switch {
		case p.verb == replyOff:
			silent = true
			c.silence = silenced
		case p.verb == replyOn && silent:
			c.silence = answering
			return
		case p.verb == replySkip:
			if c.silence == answering {
				c.silence = skipNext // for the request after EXEC
			}
		case p.flags&noReply != 0:
		case p.verb == monitor && c.monitors: // a second MONITOR
		case !silent:
			return
		}
		c.emit(p, 1, Silent, command.OtherPrefix, NoReason, p.time)
		c.tx.queue.pop(1, &c.tracker.slots)
	}
	c.tx.end(&c.tracker.slots)
	c.finish(Success, command.OtherPrefix)
}

// runSilently counts what an EXEC ran whose reply nobody sees. It reports false if a CLIENT REPLY ON among
// that lets the rest be seen: the array has no header then, and EXEC ends with its last element.
func (c *conn) runSilently() bool {
	for !c.tx.queue.empty() {
		p := c.tx.queue.at(0)
		if p.verb == replyOn {
			c.tx.running = true
			c.silence = answering
			return false
		}
		c.emit(p, 1, Silent, command.OtherPrefix, NoReason, p.time)
		c.quietAcks = c.quietAcks || p.verb.subscribes()
		c.tx.queue.pop(1, &c.tracker.slots)
	}
	c.tx.end(&c.tracker.slots)
	return true
}
