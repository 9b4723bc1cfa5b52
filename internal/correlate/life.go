package correlate

import (
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Life is a step in the life of a connection, or that it never came to life.
type Life struct {
	Identity identity.ID
	Step     Step
	Took     int64         // of Opened: how long it took to connect, in nanoseconds; 0 where that is not known. Of Secured: how long the handshake took
	By       Closer        // of Closed
	Failure  event.Failure // of Failed
}

// Step is a step in the life of a connection.
type Step uint8

// The steps. Connections that are older than the observer have no Opened, those whose end is not
// seen no Closed.
const (
	Opened  Step = iota // by the observed end, or accepted by it
	Closed              // an end began to close it
	Failed              // the observed end tried to connect
	Secured             // the observed end, a client, is done with its TLS handshake
)

// Closer is who began to close a connection: whose FIN or reset came first.
type Closer uint8

// The closers.
const (
	Nobody    Closer = iota // it is open
	ByClient                // also if its kernel did so, because the process had ended
	ByServer                // likewise
	ByNetwork               // the other end was silent for too long, or an administrator destroyed the socket
)

// closer returns an end as a closer.
func closer(end event.Role) Closer {
	if end == event.Client {
		return ByClient
	}
	return ByServer
}

// lives gives a step to the Tracker's user.
func (t *Tracker) lives(l Life) {
	if t.options.Life != nil {
		t.options.Life(l)
	}
}

// connectFailed counts that an end failed to connect, if the connection would have been observed.
func (t *Tracker) connectFailed(e *event.Event) {
	o := originOf(e)
	if who, _, ok := t.resolve(&o); ok {
		t.lives(Life{Identity: t.pools.of(who).identity, Step: Failed, Failure: e.Failure})
	}
}

// begin notes that a connection opened, and counts it, unless its labels depend on the process of
// its first call, or it may turn out to be the copy of another one: packets show it twice before and
// behind an address translation, which its payload tells.
func (c *conn) begin(e *event.Event) {
	c.uncounted = true
	if e.Took > 0 {
		c.tracker.took[c] = e.Took
	}
	if c.tracker.options.Sockets && (c.owner == nil || c.owner.Complete) {
		c.countOpened()
	}
}

// countOpened counts that the connection opened, if that has not been done.
func (c *conn) countOpened() {
	if c.uncounted {
		c.tracker.lives(Life{Identity: c.pool.identity, Step: Opened, Took: c.tracker.took[c]})
		c.forgetOpened()
	}
}

// forgetOpened gives up counting that the connection opened.
func (c *conn) forgetOpened() {
	c.uncounted = false
	delete(c.tracker.took, c)
}

// closerOf returns who began to close the connection, by the first event that says so. An end that
// has announced its close is the first.
func (c *conn) closerOf(e *event.Event) Closer {
	switch {
	case e.Cut == event.Broken && !e.Left:
		return ByNetwork
	case c.closing.announced == session.ClientClosed:
		return ByClient
	case c.closing.announced == session.ServerClosed:
		return ByServer
	case e.Kind == event.PeerClosed && !e.Left:
		return closer(event.Client + event.Server - c.role)
	default:
		return closer(c.role)
	}
}

// countClosed counts that an end began to close the connection, once: from then on it is none of the
// established ones.
func (c *conn) countClosed(e *event.Event) {
	if c.closing.by != Nobody || c.unread {
		return
	}
	c.countOpened()
	c.closing.by = c.closerOf(e)
	c.tracker.lives(Life{Identity: c.pool.identity, Step: Closed, By: c.closing.by})
}

// countGone counts that the connection is gone. If no event said that an end closed it, the observed
// one reset it; or, where it is still uncounted, packets showed a copy of it.
func (c *conn) countGone() {
	if c.tracker.options.Sockets || !c.uncounted {
		c.countClosed(&event.Event{Kind: event.HalfClosed})
	}
}
