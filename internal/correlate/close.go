package correlate

import (
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// closing is what is known of the end of a connection that has not ended yet.
type closing struct {
	since     int64          // when the first end closed, or announced that it would
	reason    session.Reason // why it ends; NoReason while neither end has closed
	announced session.Reason // by whom: it has said that it sends no more, and has sent no more; NoReason for none
	by        Closer         // who began to close it; Nobody while neither end has
	cut       bool           // it was reset by the other end, or broken
	ends      bool           // the server has closed its stream, at replyEnd,
	read      bool           // and it was read up to there
	placed    bool           // requestEnd is set
	replyEnd  uint32
	// The offset that the requests had reached when an end closed, by the socket's own count.
	requestEnd uint32
	period     uint32 // in which an end closed its stream, 0 for none (endings.go)
}

// halfClose notes that one end closed its stream. The server's has an offset at which no more
// replies come; of a connection that is listed as half closed it may be too far by one.
func (c *conn) halfClose(e *event.Event) {
	c.gone = true
	c.reach = min(c.reach, e.Reach) // a connection that was added for its payload may turn out to be in reach
	c.tracker.endings.begin(c)
	c.countClosed(e)
	byServer := (e.Kind == event.PeerClosed) == (c.role == event.Client)
	if byServer && !c.closing.ends {
		c.closing.ends, c.closing.replyEnd = true, e.ReplySeq
		if e.Kind == event.PeerClosed || e.Left { // it may read on if it has only said that it will answer no more
			c.session.NoteServerClosed(e.Time)
		}
	}
	if c.role == event.Client || e.Kind == event.HalfClosed { // else the program need not have read so far
		c.closing.placed, c.closing.requestEnd = true, e.Seq
	}
	c.closing.cut = c.closing.cut || e.Cut != event.Finished
	if c.closing.reason == session.NoReason {
		c.setReason(c.endedBy(e), e.Time)
	}
}

// setReason notes why the connection ends, and since when. An end that closes after the other one
// has announced its close only follows.
func (c *conn) setReason(reason session.Reason, since int64) {
	if c.closing.announced != session.NoReason && reason != session.Network {
		if reason == session.NoReason {
			return
		}
		reason, since = c.closing.announced, c.closing.since
	}
	c.closing.reason, c.closing.since = reason, since
}

// announceEnd notes that an end has said that it sends no more.
func (c *conn) announceEnd(e *event.Event) {
	if c.closing.reason != session.NoReason || c.closing.announced != session.NoReason {
		return
	}
	by := event.Client + event.Server - c.role
	if e.Left {
		by = c.role
	}
	c.closing.announced, c.closing.since = closedBy(by), e.Time
}

// reconsiderEnd notes that an end has sent more all the same.
func (c *conn) reconsiderEnd(e *event.Event) {
	byServer, fromServer := c.closing.announced == session.ServerClosed, e.Direction == event.Reply
	if byServer == fromServer && e.Time > c.closing.since {
		c.closing.announced = session.NoReason
	}
}

// endedBy returns who ended the connection, as far as an event says: a client that has only said
// that it will ask no more (shutdown) has not given up its requests.
func (c *conn) endedBy(e *event.Event) session.Reason {
	switch {
	case e.Kind == event.HalfClosed && c.role == event.Client && !e.Left:
		return session.NoReason
	case e.Kind == event.HalfClosed || e.Left:
		return closedBy(c.role)
	case e.Cut == event.Broken:
		return session.Network
	default:
		return closedBy(event.Client + event.Server - c.role)
	}
}

// closedBy is the reason of the commands that were outstanding when an end closed.
func closedBy(role event.Role) session.Reason {
	if role == event.Client {
		return session.ClientClosed
	}
	return session.ServerClosed
}

// checkEnd reports the outstanding commands when the last reply has been read that the server sent;
// if requests are held, when they have been read too. The close of the socket may be long in
// coming. Its offsets show whether requests are missing.
func (c *conn) checkEnd() {
	b := &c.buffers[event.Reply]
	if c.closing.ends && c.hasOffsets() && c.buffers[event.Request].Empty() && (c.session.Ignores(event.Reply) || b.Started() && b.Empty() && b.Distance(c.closing.replyEnd) <= 0) {
		c.closing.read = true
		c.session.RepliesEnded(c.ending(c.tracker.shared.Now, 0))
	}
}

// ending returns how the connection ended at a time. Unread is how many bytes the client left
// unread.
func (c *conn) ending(time int64, unread uint8) session.Ending {
	return session.Ending{Reason: c.closing.reason, Time: time, Since: c.closing.since, Unread: unread, Cut: c.closing.cut}
}

// close ends the connection: its socket is gone. A client that left unread bytes that the server
// had sent before it closed never saw that it did: the client gave up. Where the connection was
// reset, a write may have failed before.
func (c *conn) close(e *event.Event) {
	c.flush()
	if !e.Unplaced {
		c.checkTail(event.Request, e.Seq)
		c.checkTail(event.Reply, e.ReplySeq)
	}
	unread, hidden := uint8(0), false
	if c.role == event.Client {
		if unread = e.Unread; !c.hasOffsets() {
			unread, hidden = 0, unread > 0
		}
	}
	if c.closing.reason == session.NoReason || c.closing.reason == session.ServerClosed && (unread > 0 || hidden) && !c.closing.cut {
		c.setReason(closedBy(c.role), e.Time)
	}
	ending := c.ending(e.Time, unread)
	ending.Hidden = hidden
	c.session.Close(ending)
	c.countGone()
	c.tracker.remove(c)
}

// checkTail notices bytes at the end of a stream that no event brought. The FIN takes an offset
// too, and no part that could be lost is a single byte long.
func (c *conn) checkTail(d event.Direction, end uint32) {
	b := &c.buffers[d]
	if !b.Started() || !c.hasOffsets() || c.session.Closed() || c.session.Ignores(d) {
		return
	}
	if missing := b.Distance(end); missing > 1 {
		c.jump(d, uint32(missing), c.tracker.shared.Now)
	}
}

// loseEnd ends the tracking of a connection whose socket is gone without an event that said so.
// Where an end closed its stream while synced, or all replies were read, that event would have
// added little: that now all is over, and the offsets, which are known as of that close. A Unix
// socket may be closed without any event, by the observed end, because the other end's would have
// been found first.
func (c *conn) loseEnd() {
	synced := c.session.State() != session.Desynced
	if c.gone && (synced || c.closing.read) {
		seq := c.buffers[event.Request].Next()
		if c.closing.placed {
			seq = c.closing.requestEnd
		}
		c.close(&event.Event{Kind: event.Closed, Time: c.active, Seq: seq, ReplySeq: c.buffers[event.Reply].Next()})
		return
	}
	if _, unix := c.endpoints.Path(c.role); unix && synced {
		c.close(&event.Event{Kind: event.Closed, Time: c.active, Unplaced: true})
		return
	}
	c.tracker.stats.lostConnections.Add(1)
	c.abandon(session.LostClose)
}

// abandon ends the tracking of a connection whose end is not seen.
func (c *conn) abandon(reason session.Reason) {
	c.stamp()
	c.session.Abandon(reason)
	c.tracker.remove(c)
	c.tracker.since = c.tracker.shared.Now // should it be there all the same
}
