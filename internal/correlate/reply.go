package correlate

import (
	"bytes"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate/reorder"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// reply reads a segment of the reply stream. It reports false if some of it was put back, to wait for its request.
func (c *conn) reply(p *reorder.Segment) bool {
	switch c.mode {
	case lost:
		c.lostReply(p.Data, p.Time)
		return true
	case replica:
		return true
	}
	c.replies.Feed(p.Data)
	rest := c.readReplies(p.Data, p.Time)
	if rest == nil {
		return true
	}
	c.replies.Reset()
	n := uint32(len(rest))
	c.buffers[event.Reply].PutBack(n)
	c.hold(event.Reply, reorder.Segment{Seq: p.Seq + p.Len - n, Len: n, Data: rest, Time: p.Time})
	return false
}

// readReplies takes the complete frames of what was fed. It returns what is to be put back, nil if nothing is.
func (c *conn) readReplies(data []byte, time int64) (rest []byte) {
	c.replying = time
	var r parser.Reply
	for c.mode == paired {
		var mark []byte // where the frame begins, if it does so in this chunk
		if kind, begins := c.replies.Peek(); begins {
			if !c.beginFrame(kind) {
				return c.replies.Rest()
			}
			if c.mode != paired {
				break
			}
			if c.takeSuccesses() {
				continue
			}
			if (!c.awaited || c.doubting) && !c.letGo {
				mark = c.replies.Rest()
			}
		}
		if err := c.nextFrame(&r); err != nil {
			if err == parser.ErrMalformed {
				c.malformed()
			}
			return nil
		}
		if !c.replied && !c.firstReply(&r) {
			continue
		}
		if !c.frame(&r, mark != nil) {
			return mark
		}
	}
	c.replies.Reset()
	return nil
}

// beginFrame looks at the first byte of a frame. It reports false if the frame may not be read before a request is there that it answers.
func (c *conn) beginFrame(kind byte) bool {
	c.awaited = !c.pending.empty() && !c.outdated
	c.header, c.released = false, c.letGo
	if c.doubting && !c.outdated && c.answersMore(kind) {
		c.believe()
		c.awaited = !c.pending.empty() && !c.outdated
	}
	if !c.awaited {
		c.blind = c.unread()
		return kind == '>' || !c.patient() || c.proxied != 0
	}
	switch head := c.pending.at(0); {
	case head.verb == exec:
		c.header = kind == '*' && c.tx.open && !c.tx.running && !c.tx.partial
	case head.verb == sync && kind == '$':
		// What follows is a dump without end mark, and then commands.
		c.finish(Success, command.OtherPrefix)
		c.link()
	}
	return true
}

// unread reports whether a request has begun whose end has not been read.
func (c *conn) unread() bool {
	return !c.requests.Boundary() || !c.buffers[event.Request].Empty()
}

// early reports whether what is held of the replies has still to wait for a request.
func (c *conn) early() bool {
	return (c.pending.empty() || c.undecided) && c.patient() && c.replies.Boundary()
}

// stale reports whether a reply that was held came before the oldest request was sent: it waited in vain.
func (c *conn) stale(time int64) bool {
	return !c.pending.empty() && c.replies.Boundary() && time < c.pending.at(0).time
}

// patient reports whether a reply that answers nothing is likely to be ahead of its request, rather than one of those that have none.
func (c *conn) patient() bool {
	return !(c.letGo || c.deaf || c.monitors || c.sub.any() && c.proto == 2)
}

func (c *conn) nextFrame(r *parser.Reply) error {
	if c.header {
		return c.replies.Header(r)
	}
	return c.replies.Next(r)
}

// frame finds out what a frame is. It reports false if it should be read again when its request is there, which may only be if canWait.
func (c *conn) frame(r *parser.Reply, canWait bool) bool {
	// A frame that came in pieces may have been overtaken by its request.
	c.awaited = c.awaited || !c.released && !c.pending.empty()
	switch r.Type {
	case '_', '#', ',', '%', '~', '(', '=':
		c.proto = 3
	case '>':
		c.proto = 3
		return c.push(r, canWait)
	case '+':
		if c.isMonitorLine(r) {
			return true
		}
	case '*':
		if c.isMessage(r) {
			c.sub.guessed = c.sub.guessed || !c.sub.counted()
			return true
		}
		if of := ackOf(r); of != noSet && c.mayAcknowledge(r) {
			return c.acknowledgement(r, of, canWait)
		}
	}
	if c.doubting && !c.settleDoubt(r, canWait) {
		return false
	}
	if c.awaited {
		c.answer(r)
		return true
	}
	return c.orphan(r, canWait)
}

// settleDoubt finds out from a reply whether the command in doubt was refused. It reports false if the reply should wait for its request.
func (c *conn) settleDoubt(r *parser.Reply, canWait bool) bool {
	if c.awaited && (r.Type == '-' || r.Type == '!') {
		switch c.judge(r) {
		case undecided:
			if canWait {
				c.undecided = true
				return false
			}
			fallthrough
		case refused:
			c.doubting = false
			return true
		}
	}
	c.believe()
	c.awaited = !c.pending.empty() && !c.outdated
	return true
}

// orphan is a frame that answers no command we know of.
func (c *conn) orphan(r *parser.Reply, canWait bool) bool {
	switch {
	case isProtocolError(r):
		// Our own reading of the requests may have come to that already, or not to their end.
		if !c.deaf {
			c.tracker.stats.protocolErrors.Add(1)
			c.deafen()
		}
		return true
	case canWait && !c.deaf:
		return false
	case !c.asked:
		c.unasked++
		if c.banner == 0 && isGreeting(r.Type) {
			c.banner = c.replying
		}
		return true
	case c.sub.any() && r.Type == '*' && hasMessageShape(r):
		return true // no request came that it could answer
	}
	c.unpaired(Unsolicited, 1)
	if c.unknown || c.silence == silenced || c.deaf || c.blind || c.unread() {
		// We were wrong about what was outstanding, or about CLIENT REPLY, or about the server having turned away,
		// or this answers a request that we have not seen, or not to its end.
		c.undeafen()
		c.disprove()
		c.lose(Unsolicited, event.Reply, c.replying)
	}
	return true
}

// isProtocolError recognises the last words of a server to a client that does not speak RESP.
func isProtocolError(r *parser.Reply) bool {
	return r.Type == '-' && bytes.HasPrefix(r.Text, []byte("ERR Protocol error"))
}

// expected returns the command that the next reply answers: a queued one while the array of EXEC is read, else the oldest.
func (c *conn) expected() *pending {
	if c.tx.running {
		return c.tx.queue.at(0)
	}
	return c.pending.at(0)
}

// answer gives a reply to the command that expects it.
func (c *conn) answer(r *parser.Reply) {
	p := c.expected()
	switch {
	case p.verb == reset && c.silence != answering && !bytes.Equal(r.Text, []byte("RESET")):
		c.resetSilently(r)
	case r.Type == '-' || r.Type == '!':
		c.refuse(p, r)
	case c.isQueued(p, r):
		c.enqueue()
		c.settleSilent()
	default:
		c.accept(p, r)
	}
}

// refuse ends a command by an error reply.
func (c *conn) refuse(p *pending, r *parser.Reply) {
	if isProtocolError(r) && !c.tx.running && p.verb != script {
		// The server stopped reading at what we took for a command.
		c.tracker.stats.protocolErrors.Add(1)
		c.tracker.stats.dropped.Add(uint64(c.forgetPending()))
		c.deafen()
		return
	}
	prefix := command.LookupPrefix(r.Text)
	if p.verb == exec && c.tx.open && (p.flags&odd == 0 || prefix == execAborted) {
		c.tx.end(&c.tracker.slots)
	}
	c.finish(Error, prefix)
}

// execAborted is the prefix by which EXEC refuses and ends a transaction.
var execAborted = command.LookupPrefix([]byte("EXECABORT "))

// accept ends a command by a reply that is no error, and does what the command did to the connection.
func (c *conn) accept(p *pending, r *parser.Reply) {
	if c.unknown && c.proto == 2 && c.sub.any() && !c.tx.running && !p.verb.inSubscribedMode() {
		c.sub = subscriptions{} // a subscribed connection would have been refused this
	}
	switch p.verb {
	case ordinary:
	case script:
		if r.NestedError {
			c.finish(Error, command.OtherPrefix)
			return
		}
	case exec:
		c.executed(r)
		return
	default:
		if c.effect(p.verb, r) {
			return
		}
	}
	c.finish(Success, command.OtherPrefix)
}

// effect is what a command that succeeded does to the connection. It returns true if it has ended the command as well.
func (c *conn) effect(v verb, r *parser.Reply) bool {
	switch v {
	case multi:
		c.tx.begin()
	case discard:
		c.tx.end(&c.tracker.slots)
	case reset:
		c.begin()
	case hello:
		c.proto, c.sub.arrays = 2, false
		if r.Type == '%' {
			c.proto = 3
		}
	case ping:
		if c.unknown && c.proto == 2 && !c.sub.counted() {
			c.sub.guessed = r.Type == '*' // only a subscribed connection is answered so
		}
	case monitor:
		c.monitors = true
	case replyOn:
		c.silence = answering
	case quit:
		c.hangUp(1)
	case psync:
		if bytes.HasPrefix(r.Text, []byte("FULLRESYNC")) || bytes.HasPrefix(r.Text, []byte("CONTINUE")) || bytes.HasPrefix(r.Text, []byte("RDBCHANNELSYNC")) {
			c.finish(Success, command.OtherPrefix)
			c.link()
			return true
		}
	case syncSlots:
		c.finish(Success, command.OtherPrefix)
		c.link()
		return true
	}
	return false
}

// finish ends the command that the current frame answers.
func (c *conn) finish(outcome Outcome, prefix command.Prefix) {
	if c.tx.running {
		c.finishQueued(outcome, prefix)
		return
	}
	p := c.pending.at(0)
	c.killed = p.verb == kill && outcome == Success
	c.emit(p, 1, outcome, prefix, NoReason, c.replying)
	c.pending.pop(1, &c.tracker.slots)
	if !c.pending.empty() {
		c.settleSilent()
	}
}

// link: the connection is a replica's from now on. What it still sends is answered by nothing.
func (c *conn) link() {
	c.tracker.stats.connections[KindReplica].Add(1)
	c.mode, c.repeatable = replica, false
	c.replies.Reset()
	for i := range c.pending.runs {
		c.pending.at(i).flags |= noReply
	}
	c.tx.end(&c.tracker.slots)
	c.settleSilent()
}

// malformed: what the server sends is not RESP.
func (c *conn) malformed() {
	switch {
	case !c.replied && !c.unknown:
		c.recognise(KindNotRedis)
		return
	case c.deaf:
		c.replies.Reset()
		return
	}
	c.lose(Malformed, event.Reply, c.replying)
}
