package correlate

import "github.com/redis-observer/redis-observer/internal/event"

// Guard makes the tracker tell a gate what is not wanted, so that less of it comes. It is to be called before any Track.
func (t *Tracker) Guard(gate event.Gate) { t.gate = gate }

// turnAway tells the source that what an event brought is not wanted.
func (t *Tracker) turnAway(e *event.Event) {
	if t.gate == nil {
		return
	}
	switch e.Kind {
	case event.Data, event.Gap:
		t.gate.TurnAway(e.Conn, e.Role, e.Direction, e.Time)
	case event.OtherStream:
		t.gate.TurnAway(e.Conn, e.Role, event.Request, e.Time)
		t.gate.TurnAway(e.Conn, e.Role, event.Reply, e.Time)
	}
}

// readmit tells the source that a connection is wanted again.
func (t *Tracker) readmit(id uint64) {
	if t.gate != nil {
		t.gate.Readmit(id)
	}
}

// sift turns away what is not read.
func (c *conn) sift(e *event.Event) {
	switch {
	case c.mode == foreign, c.unheard(e.Direction):
		c.tracker.turnAway(e)
	case c.deaf && e.Direction == event.Request:
		n := uint64(len(e.Data))
		if e.Kind == event.Gap {
			n = uint64(e.Len)
		}
		if c.passed += n; c.passed > mostPassed {
			c.tracker.turnAway(e)
		}
	}
}

// mostPassed is how many bytes of requests are taken in that the server does not read, before they are turned away: it may turn out that it does.
const mostPassed = 1 << 20

// undeafen: the server does read requests.
func (c *conn) undeafen() {
	if c.deaf && c.passed > mostPassed {
		c.tracker.readmit(c.id)
	}
	c.deaf, c.passed = false, 0
}

// unheard reports whether a stream is that of commands from its master to a replica, of which nothing is read.
func (c *conn) unheard(d event.Direction) bool { return c.mode == replica && d == event.Reply }
