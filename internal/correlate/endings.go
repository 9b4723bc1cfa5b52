package correlate

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/event"
)

const (
	endingPeriod = 2 * time.Second // the close of a socket follows within one or two periods
	endingRepeat = 150             // periods until connections that stay are listed again
	endingPauses = 32              // periods between two listings at most, while some always take long
)

// endings count the connections of which one end has closed its stream, so that the close of the
// socket is to come. Nearly always it comes at once. A kernel does not run its programs in every
// interruption of every task, and no event reports a close in one of those.
type endings struct {
	period uint32 // the current one; the first is 1
	begun  int64  // when
	fresh  int    // connections whose ending began in it
	old    int    // and before it
	known  int    // the least of old since the last listing: connections that it found alive
	quiet  int    // periods since the last listing
	pause  int    // periods that have to pass before the next
}

// begin notes that the ending of a connection began.
func (e *endings) begin(c *conn) {
	if c.closing.period != 0 {
		return
	}
	c.closing.period = e.period
	e.fresh++
}

// end notes that it is over.
func (e *endings) end(c *conn) {
	switch c.closing.period {
	case 0:
		return
	case e.period:
		e.fresh--
	default:
		e.old--
	}
	c.closing.period = 0
}

// late reports, once in a while, whether a close has been missing for so long that the connections
// are to be listed.
func (e *endings) late(now int64) bool {
	e.known = min(e.known, e.old)
	if now-e.begun < int64(endingPeriod) {
		return false
	}
	if e.old == 0 {
		e.pause = 0
	}
	late := e.quiet >= e.pause && e.old > e.known || e.quiet >= endingRepeat && e.old > 0
	e.quiet++
	if late {
		e.known, e.quiet, e.pause = e.old, 0, min(2*e.pause+1, endingPauses)
	}
	e.old, e.fresh = e.old+e.fresh, 0
	e.period, e.begun = e.period+1, now
	return late
}

// Overdue reports, once in a while, whether the close of a connection is missing, or bytes that one
// received. List the connections then: Listed ends the former, and Existing says how far the latter
// has read. It is for the goroutine that calls Track.
func (t *Tracker) Overdue() bool {
	late := t.endings.late(t.shared.Now)
	return t.suspect.due(&t.shared.Stalled, t.shared.Now) || late
}

// orphanLife is how long, at the most that is likely, the kernel keeps a socket that no process
// holds any more, or has accepted yet.
const orphanLife = 5 * time.Minute

// missed reports whether a connection that still existed would have had an event since.
func (c *conn) missed(since int64) bool {
	switch {
	case c.active >= since:
		return false
	case c.reach == event.WhileHeld && (c.gone || c.role == event.Server && !c.session.Asked()):
		return c.tracker.shared.Now-c.active > int64(orphanLife)
	}
	return c.reach != event.Never
}
