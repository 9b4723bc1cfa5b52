package correlate

import (
	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/command"
)

// halfClose notes that one end closed its stream. The server's has an offset at which no more replies come; of a connection
// that is listed as half closed it may be too far by one.
func (c *conn) halfClose(e *capture.Event) {
	c.gone = true
	c.tracker.endings.begin(c)
	byServer := (e.Kind == capture.PeerClosed) == (c.role == capture.Client)
	reason := ClientClosed
	if byServer {
		reason = ServerClosed
		if !c.ends {
			c.ends, c.replyEnd = true, e.ReplySeq
		}
	}
	if c.closing == NoReason {
		c.closing = reason
	}
}

// checkEnd ends the connection when the last reply has been read that its server sent.
func (c *conn) checkEnd() {
	f := &c.flows[capture.Reply]
	if c.ends && f.known && len(f.held) == 0 && f.distance(c.replyEnd) <= 0 {
		c.end(c.closing, c.tracker.now)
	}
}

// close ends the connection: its socket is gone.
func (c *conn) close(e *capture.Event) {
	c.flush()
	c.checkTail(capture.Request, e.Seq)
	c.checkTail(capture.Reply, e.ReplySeq)
	reason := c.closing
	switch {
	case reason != NoReason:
	case c.role == capture.Client:
		reason = ClientClosed
	default:
		reason = ServerClosed
	}
	c.end(reason, e.Time)
	c.tracker.forget(c)
}

// checkTail notices bytes at the end of a stream that no event brought. The FIN takes an offset too, and nothing that
// could be lost is a single byte long.
func (c *conn) checkTail(d capture.Direction, end uint32) {
	f := &c.flows[d]
	if !f.known || c.mode == foreign {
		return
	}
	if missing := f.distance(end); missing > 1 {
		c.jump(d, uint32(missing), c.tracker.now)
	}
}

// loseEnd ends the tracking of a connection whose socket is gone without an event that said so. Where an end closed its stream in step, that event
// would have added only that now all is over.
func (c *conn) loseEnd() {
	if c.gone && c.mode != lost {
		c.close(&capture.Event{
			Kind: capture.Closed, Time: c.active, Seq: c.flows[capture.Request].next, ReplySeq: c.flows[capture.Reply].next,
		})
		return
	}
	c.tracker.stats.lostConnections.Add(1)
	c.abandon(LostClose)
}

// abandon ends the tracking of a connection whose end we do not see.
func (c *conn) abandon(reason Reason) {
	c.unpaired(reason, c.forgetPending())
	c.tracker.forget(c)
}

// end reports what is still outstanding as unanswered. What the server can never have run does not count:
// what waits behind a command that blocks, or by which the client had its own connection or the server ended, and what was
// queued without an EXEC.
func (c *conn) end(reason Reason, now int64) {
	switch {
	case c.mode == paired && !c.asked && c.banner != 0:
		c.recognise(KindNotRedis)
	case c.mode == foreign || !c.asked && !c.spoke:
	case !c.spoke:
		c.recognise(KindNotRedis)
	default:
		c.heardServer() // a client that speaks RESP and is not answered is taken at its word
	}
	if c.killed && reason == ServerClosed {
		c.tracker.stats.dropped.Add(uint64(c.forgetPending()))
	}
	first := uint32(0) // of those in the FIFO that are queued
	left := c.pending.count
	for i := range c.pending.runs {
		p := c.pending.at(i)
		left -= p.count()
		if c.tx.open && p.verb.queued() {
			continue
		}
		switch p.verb {
		case multi:
			if !c.tx.open {
				c.tx.open, first = true, i+1
			}
		case exec:
			if c.tx.open {
				c.unanswerQueued(first, i, reason, now)
			}
			c.tx.open = false
		case discard, reset:
			c.tx.queue.clear(&c.tracker.slots)
			c.tx.open = false
		}
		if p.flags&blocks != 0 || p.verb == shutdown || p.verb == quit {
			c.unanswer(p, reason, now)
			c.tracker.stats.dropped.Add(uint64(left + p.more))
			break
		}
		c.unanswerAll(p, reason, now)
	}
	c.forgetPending()
	c.release()
	c.mode, c.ends = foreign, false
}

// unanswerQueued reports what an unanswered EXEC ran: the transaction, and those in the FIFO from first up to the EXEC.
func (c *conn) unanswerQueued(first, end uint32, reason Reason, now int64) {
	for i := range c.tx.queue.runs {
		c.unanswerAll(c.tx.queue.at(i), reason, now)
	}
	c.tx.queue.clear(&c.tracker.slots)
	for i := first; i < end; i++ {
		if p := c.pending.at(i); p.verb.queued() {
			c.unanswerAll(p, reason, now)
		}
	}
}

// unanswerAll reports each command of a run.
func (c *conn) unanswerAll(p *pending, reason Reason, now int64) {
	for range p.count() {
		c.unanswer(p, reason, now)
	}
}

// unanswer reports a command that gets no reply any more, because there is none by design or because the connection ended.
func (c *conn) unanswer(p *pending, reason Reason, now int64) {
	silent := c.isSilent(p)
	c.pass(p)
	if silent || p.verb == shutdown && reason == ServerClosed {
		c.emit(p, 1, Silent, command.OtherPrefix, NoReason, p.time)
		return
	}
	c.emit(p, 1, Unanswered, command.OtherPrefix, reason, now)
}
