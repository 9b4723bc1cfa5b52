package correlate

import "github.com/redis-observer/redis-observer/internal/event"

// Guard lets the tracker turn away at a gate events that it does not want, so that fewer come. Call
// it before any Track.
func (t *Tracker) Guard(gate event.Gate) { t.gate = gate }

// turnAway asks the source for no more events like this one.
func (t *Tracker) turnAway(e *event.Event) {
	if t.gate == nil {
		return
	}
	switch e.Kind {
	case event.Data, event.Gap:
		t.gate.TurnAway(e.Conn, e.Role, e.Direction, e.Time, e.Plaintext)
	case event.OtherStream:
		t.gate.TurnAway(e.Conn, e.Role, event.Request, e.Time, event.NotPlaintext)
		t.gate.TurnAway(e.Conn, e.Role, event.Reply, e.Time, event.NotPlaintext)
	}
}

// readmit asks the source for all events of a connection again.
func (t *Tracker) readmit(id uint64) {
	if t.gate != nil {
		t.gate.Readmit(id)
	}
}

// sift turns away the events that are not read.
func (c *conn) sift(e *event.Event) {
	switch {
	case c.session.Closed(), c.session.Ignores(e.Direction):
		if !c.shakes(e) {
			c.tracker.turnAway(e)
		}
	case e.Direction == event.Request && c.session.RequestsClosed():
		n := uint64(len(e.Data))
		if e.Kind == event.Gap {
			n = uint64(e.Len)
		}
		if c.unwanted += n; c.unwanted > mostUnwanted {
			c.tracker.turnAway(e)
		}
	}
}

// mostUnwanted is how many bytes of requests are taken that the server does not read, before they
// are turned away: it may turn out that it does.
const mostUnwanted = 1 << 20

// wantRequests notes that the server does read requests.
func (c *conn) wantRequests() {
	if c.unwanted > mostUnwanted {
		c.tracker.readmit(c.id)
	}
	c.unwanted = 0
}
