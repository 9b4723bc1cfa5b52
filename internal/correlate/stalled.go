package correlate

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/correlate/reorder"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Bytes that a program receives by a call without an event (splice, TCP_ZEROCOPY_RECEIVE) are
// missed when bytes behind them are received. If there are none, requests pile up without an
// answer. The connections are listed then, because a listing says how far each program has read.

const (
	stalledPause  = 2 * time.Second  // between two listings at least,
	stalledPauses = 64 * time.Second // and at most while they find nothing: some servers are slow
	stalledGrace  = time.Second      // how long after a listing the event of listed bytes may come
	urgentByte    = 1                // may be received without an event
)

// suspicion decides when connections are listed because one of them is stalled.
type suspicion struct {
	next  int64         // when a listing may come
	pause time.Duration // behind the latest
}

// due reports whether the connections are to be listed now. Stalled is set if a session is stalled;
// due resets it.
func (s *suspicion) due(stalled *bool, now int64) bool {
	if !*stalled || now < s.next {
		return false
	}
	*stalled = false
	s.pause = min(max(2*s.pause, stalledPause), stalledPauses)
	s.next = now + int64(s.pause)
	return true
}

// proven notes that a listing found missing bytes.
func (s *suspicion) proven() {
	if s.pause > stalledPause {
		s.next -= int64(s.pause - stalledPause)
	}
	s.pause = 0
}

// compare compares how far the program at the observed end has read, as a listing found, with the
// events. The event of further bytes may still come for a while: a receiving call is reported at
// its end.
func (c *conn) compare(e *event.Event) {
	d, read := event.Reply, e.ReplySeq
	if c.role == event.Server {
		d, read = event.Request, e.Seq
	}
	b := &c.buffers[d]
	if e.Unplaced || !c.hasOffsets() || !c.tracker.shared.Sockets || !b.Started() || c.session.Closed() || c.session.Ignores(d) || c.session.Unreadable() || b.Distance(read) <= urgentByte {
		return
	}
	p := reorder.Segment{Seq: read, Reason: event.NotInMemory, Time: e.Time, Until: c.tracker.shared.Now + int64(stalledGrace)}
	if c.keep(b, &p) {
		c.tracker.wait(c, p.Until)
	}
}

// isMark reports whether a segment is a mark: an empty one at the offset up to which a program has
// read.
func isMark(p *reorder.Segment) bool { return p.Len == 0 }

// giveUpMark gives up the bytes that are missing before a mark.
func (c *conn) giveUpMark(d event.Direction, mark *reorder.Segment) {
	b := &c.buffers[d]
	hole := b.Hole(mark.Seq)
	c.tracker.suspect.proven()
	b.Miss(hole)
	c.session.Overlooked(d, hole, mark.Reason, c.arrival(d, mark.Time))
	c.settle()
}
