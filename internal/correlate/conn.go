package correlate

import (
	"github.com/redis-observer/redis-observer/internal/correlate/reorder"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// conn is one connection: a session, two reorder buffers, and its place in the tracker.
type conn struct {
	session session.Session
	buffers [2]reorder.Buffer // by event.Direction
	tracker *Tracker
	pool    *pool
	share   share

	origin
	id      uint64
	active  int64 // the latest time of its events
	closing closing

	use       use
	plaintext event.Plaintext // the kind of bytes that are read
	seen      bool            // its beginning was seen, or anything of its streams
	opening   bool            // its streams have begun before it was established (TCP Fast Open)
	gone      bool            // it is established no more
	uncounted bool            // it was opened, which has not been counted yet
	shaking   bool            // its TLS handshake is measured
	unread    bool            // the source could not read anything of it, from its beginning on: it does not count
	unwanted  uint64          // bytes of requests since the session's requests are closed
}

// stamp lets the exchanges that the session completes from now on count under the connection's identity.
func (c *conn) stamp() { c.tracker.shared.Out.Identity = c.pool.identity }

// event takes one event of the connection, which is stamped.
func (c *conn) event(e *event.Event) {
	c.active = max(c.active, e.Time) // that of a send is when its call began
	switch e.Kind {
	case event.Data:
		if e.Plaintext != c.plaintext && !c.decides(e) {
			return
		}
		c.sift(e)
		if c.closing.announced != session.NoReason {
			c.reconsiderEnd(e)
		}
		read := !c.session.Closed()
		c.arrive(e.Direction, &reorder.Segment{Seq: e.Seq, Len: uint32(len(e.Data)), Data: e.Data, Time: e.Time, Reason: e.Reason, Arrivals: e.Arrivals})
		if read && c.session.Closed() {
			c.beginHandshake(e)
		}
	case event.Gap:
		if e.Plaintext != c.plaintext && !c.decides(e) {
			return
		}
		c.sift(e)
		c.arrive(e.Direction, &reorder.Segment{Seq: e.Seq, Len: e.Len, Reason: e.Reason, Time: e.Time, Arrivals: e.Arrivals})
	case event.Open:
		if !c.belong(e) {
			return
		}
		c.reach = e.Reach
		c.open(e)
	case event.Owned:
		c.belong(e)
		c.countOpened()
		return
	case event.Existing:
		if !c.belong(e) {
			return
		}
		c.reach = e.Reach
		c.existing(e)
	case event.Opening:
		c.openEarly(e)
	case event.OtherStream:
		c.unread = c.unread || !c.seen
		c.session.Dismiss(e.Stream)
		c.settle()
		c.sift(e)
	case event.HalfClosed, event.PeerClosed:
		c.halfClose(e)
	case event.Ending:
		c.announceEnd(e)
		return
	case event.Closed:
		c.close(e)
		return
	case event.Vanished:
		c.loseEnd()
		return
	}
	c.seen = true
	if c.uncounted && !c.tracker.options.Sockets && e.Kind != event.Open {
		c.countOpened()
	}
	if c.closing.ends {
		c.checkEnd()
	}
	c.settleUse()
	if c.session.InDoubt() {
		c.tracker.wait(c, c.session.DoubtUntil())
	}
}

// openEarly begins a connection of which payload passes before it is established. The server's
// stream begins when it is.
func (c *conn) openEarly(e *event.Event) {
	if c.seen {
		return
	}
	c.buffers[event.Request].Start(e.Seq)
	if c.role == event.Server {
		c.buffers[event.Reply].Start(e.ReplySeq)
	}
	c.opening = true
	c.session.Open(true)
}

// open begins a connection that is seen from its first byte.
func (c *conn) open(e *event.Event) {
	c.begin(e)
	if c.opening {
		c.opening = false
		if b := &c.buffers[event.Reply]; !b.Started() {
			b.Start(e.ReplySeq)
		}
		return
	}
	c.buffers[event.Request].Start(e.Seq)
	c.buffers[event.Reply].Start(e.ReplySeq)
	c.session.Open(false)
}

// existing notes where a connection in mid-stream goes on. Nothing of it has been seen since: its
// silence begins here.
func (c *conn) existing(e *event.Event) {
	if c.seen {
		c.compare(e)
		return
	}
	if !e.Unplaced {
		c.buffers[event.Request].Start(e.Seq)
		c.buffers[event.Reply].Start(e.ReplySeq)
	}
	c.session.Resume(e.Awaited, e.Time)
}

// settle does what a change of the session asks for. It is called after each call that reads bytes.
func (c *conn) settle() {
	if c.session.Closed() || c.unwanted > 0 {
		c.settleChange()
	}
}

func (c *conn) settleChange() {
	if c.session.Closed() {
		c.clearHeld()
	}
	if c.unwanted > 0 && !c.session.RequestsClosed() {
		c.wantRequests()
	}
}

// settleUse puts the connection into the gauge that its state asks for.
func (c *conn) settleUse() {
	switch {
	case c.gone:
		c.setUse(notPooled)
	case c.seen && c.session.Busy():
		c.setUse(inUse)
	default:
		c.setUse(available)
	}
}

func (c *conn) setUse(u use) {
	if c.use == u {
		return
	}
	if c.use != notPooled {
		c.pool.count[c.use]--
	}
	if u != notPooled {
		c.pool.count[u]++
	}
	c.use = u
}

// GrantPlaces implements session.Places.
func (c *conn) GrantPlaces(n int) bool { return c.tracker.slots.grant(c, n) }

// AddPlaces implements session.Places.
func (c *conn) AddPlaces(n int) { c.tracker.slots.add(c, n) }

// Pass implements session.Places.
func (c *conn) Pass(d event.Direction, n uint64) { c.pool.unassigned[d].Add(n) }

// PassWait implements session.Places.
func (c *conn) PassWait(wait int64, n uint32) {
	w := Wait{Identity: c.pool.identity, Role: c.role, Time: wait, Count: n}
	if wait == session.NoDuration {
		w.Unknown = c.unknownWait()
	}
	c.tracker.options.Wait(w)
}

// PassSlow implements session.Places.
func (c *conn) PassSlow(x *session.Slow) { c.tracker.options.Slow(x, c.role, &c.endpoints, c.owner) }
