package correlate

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/correlate/reorder"
	"github.com/redis-observer/redis-observer/internal/event"
)

// What a program receives without a call that anybody tells of (splice, TCP_ZEROCOPY_RECEIVE) is missed with the bytes that it receives behind it, if
// there are any. Where there are none, requests pile up that nobody seems to answer. Then the connections are listed: a listing says how far each
// program has read.

const (
	unheardPause  = 2 * time.Second  // between two listings at least,
	unheardPauses = 64 * time.Second // and at most while they find nothing: some servers are slow
	unheardGrace  = time.Second      // how long after a listing bytes that it knows of may be told of
	urgentByte    = 1                // may be passed over without a byte that is told of
)

// suspicion decides when connections are listed because one of them is suspect.
type suspicion struct {
	next  int64         // when a listing may come
	pause time.Duration // behind the latest
}

// due reports whether the connections are to be listed now. Stalled is set if a session is suspect, and reset if they are.
func (s *suspicion) due(stalled *bool, now int64) bool {
	if !*stalled || now < s.next {
		return false
	}
	*stalled = false
	s.pause = min(max(2*s.pause, unheardPause), unheardPauses)
	s.next = now + int64(s.pause)
	return true
}

// proven: a listing found what was suspected.
func (s *suspicion) proven() {
	if s.pause > unheardPause {
		s.next -= int64(s.pause - unheardPause)
	}
	s.pause = 0
}

// compare compares how far the program at the observed end has read, as a listing found, with what was heard. What is beyond that is awaited for a while,
// because a call that receives is told of at its end.
func (c *conn) compare(e *event.Event) {
	d, read := event.Reply, e.ReplySeq
	if c.role == event.Server {
		d, read = event.Request, e.Seq
	}
	b := &c.buffers[d]
	if e.Unplaced || !c.tracker.shared.Sockets || !b.Started() || c.session.Closed() || c.session.Ignores(d) || c.session.Unreadable() || b.Distance(read) <= urgentByte {
		return
	}
	p := reorder.Segment{Seq: read, Reason: event.NotInMemory, Time: e.Time, Until: c.tracker.shared.Now + int64(unheardGrace)}
	if c.keep(b, &p) {
		c.tracker.wait(c, p.Until)
	}
}

// isMark reports whether a segment is empty, which says how far a program has read.
func isMark(p *reorder.Segment) bool { return p.Len == 0 }

// giveUpMark gives up the bytes that are missing before a mark.
func (c *conn) giveUpMark(d event.Direction, mark *reorder.Segment) {
	b := &c.buffers[d]
	hole := b.Hole(mark.Seq)
	c.tracker.suspect.proven()
	b.Miss(hole)
	c.session.Overlooked(d, hole, mark.Reason, c.arrival(d, mark.Time, 0))
	c.settle()
}
