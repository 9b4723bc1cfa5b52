package correlate

import (
	"github.com/redis-observer/redis-observer/internal/event"
)

// halfClose notes that one end closed its stream. The server's has an offset at which no more replies come; of a connection
// that is listed as half closed it may be too far by one.
func (c *conn) halfClose(e *event.Event) {
	c.gone = true
	c.reach = min(c.reach, e.Reach) // what was met by its payload may turn out to be in reach
	c.tracker.endings.begin(c)
	byServer := (e.Kind == event.PeerClosed) == (c.role == event.Client)
	if byServer && !c.ends {
		c.ends, c.replyEnd = true, e.ReplySeq
	}
	c.cut = c.cut || e.Cut != event.Finished
	if c.closing == NoReason {
		c.closing, c.closed = c.endedBy(e), e.Time
	}
}

// endedBy says who ended the connection, as far as an event tells: what a client asked that has only said that it will ask no more
// (shutdown) is not given up.
func (c *conn) endedBy(e *event.Event) Reason {
	switch {
	case e.Kind == event.HalfClosed && c.role == event.Client && !e.Left:
		return NoReason
	case e.Kind == event.HalfClosed || e.Left:
		return closedBy(c.role)
	case e.Cut == event.Broken:
		return Network
	default:
		return closedBy(event.Client + event.Server - c.role)
	}
}

// closedBy is the reason of what was outstanding when an end closed.
func closedBy(role event.Role) Reason {
	if role == event.Client {
		return ClientClosed
	}
	return ServerClosed
}

// checkEnd ends the connection when the last reply has been read that its server sent. If missing
// requests would change the verdict on the connection, it waits for the close of the socket, whose
// offsets show whether any are missing; and if requests are held, until they have been read.
func (c *conn) checkEnd() {
	b := &c.buffers[event.Reply]
	decided := c.unasked == 0 && (c.spoke || !c.asked) && c.buffers[event.Request].Empty()
	if c.ends && decided && (c.unheard(event.Reply) || b.Started() && b.Empty() && b.Distance(c.replyEnd) <= 0) {
		c.end(c.closing, c.tracker.now)
	}
}

// close ends the connection: its socket is gone. A client that left unread what the server had sent before it closed never saw
// that it did: the client gave up. Where the connection was reset, writing may have told it.
func (c *conn) close(e *event.Event) {
	c.flush()
	c.checkTail(event.Request, e.Seq)
	c.checkTail(event.Reply, e.ReplySeq)
	if c.role == event.Client {
		c.left = e.Unread
	}
	if c.closing == NoReason || c.closing == ServerClosed && c.left > 0 && !c.cut {
		c.closing, c.closed = closedBy(c.role), e.Time
	}
	c.end(c.closing, e.Time)
	c.tracker.forget(c)
}

// checkTail notices bytes at the end of a stream that no event brought. The FIN takes an offset too, and nothing that
// could be lost is a single byte long.
func (c *conn) checkTail(d event.Direction, end uint32) {
	b := &c.buffers[d]
	if !b.Started() || c.mode == foreign || c.unheard(d) {
		return
	}
	if missing := b.Distance(end); missing > 1 {
		c.jump(d, uint32(missing), c.tracker.now)
	}
}

// loseEnd ends the tracking of a connection whose socket is gone without an event that said so. Where an end closed its stream in step, that event
// would have added only that now all is over.
func (c *conn) loseEnd() {
	if c.gone && c.mode != lost {
		c.close(&event.Event{
			Kind: event.Closed, Time: c.active, Seq: c.buffers[event.Request].Next(), ReplySeq: c.buffers[event.Reply].Next(),
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
	c.tracker.since = c.tracker.now // should it be there all the same
}
