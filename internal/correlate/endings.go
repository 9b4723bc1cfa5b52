package correlate

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/event"
)

const (
	endingPeriod = 2 * time.Second // an end that is told of comes within one or two of them
	endingRepeat = 150             // periods after which those that stay are looked at again
	endingPauses = 32              // the most periods between two looks while there are always some that take long
)

// endings count the connections of which one end has closed its stream, so that the end of the socket is to come. Nearly always it comes at once. A
// kernel does not run its programs for every interruption of every task, and where that end was to be told of in one, nobody tells of it.
type endings struct {
	period uint32 // the current one; the first is 1
	begun  int64  // when
	fresh  int    // connections whose ending began in it
	old    int    // and before it
	known  int    // the least of old since the last look: those that the look found alive
	quiet  int    // periods since the last look
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

// late tells, once in a while, whether an end is missing so long that somebody has to look.
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

// Overdue tells, once in a while, whether the end of a connection is missing, or what one receives: the connections are to be listed then, for Listed
// to end it, and for what each has received. It is for the goroutine that calls Track.
func (t *Tracker) Overdue() bool {
	late := t.endings.late(t.shared.Now)
	return t.suspect.due(&t.shared.Stalled, t.shared.Now) || late
}

// orphanLife is how long the kernel keeps a socket that nobody holds any more, or that nobody has accepted yet, at the most that is likely.
const orphanLife = 5 * time.Minute

// missed tells whether a connection would have been heard of since, if it still were.
func (c *conn) missed(since int64) bool {
	switch {
	case c.active >= since:
		return false
	case c.reach == event.WhileHeld && (c.gone || c.role == event.Server && !c.session.Asked()):
		return c.tracker.shared.Now-c.active > int64(orphanLife)
	}
	return c.reach != event.Never
}
