package packet

import (
	"slices"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Segments can be captured before those that they acknowledge: by two queues of a network card, by a
// TAP with a clock for each direction, or on two machines. Here such a segment waits for them, and
// is given no earlier time than they have. So the events of a conversation are in an order in which
// they can have happened, whatever the clocks say: a reply comes after the requests that its
// acknowledgement number covers.

// Limits of the segments that wait.
const (
	causalWait     = int64(2 * time.Second) // twice the difference of clocks that is to be tolerated
	maxWaiting     = 16 << 20               // bytes of all conversations
	maxWaitingEach = 4 << 20                // bytes of one
	waitingCost    = 160                    // bytes that a segment takes beside its payload
)

// waits are the segments of a conversation that wait, each direction in the order of the capture.
type waits struct {
	queues [2][]waiting
	bytes  int
}

// waiting is a segment that waits.
type waiting struct {
	segment frame.Segment
	number  uint64 // in the order of the capture
	time    int64
	until   int64
	untimed bool
	// nameUntil is how long it waits for a copy whose address has a name; 0: it does not.
	nameUntil int64
}

func (w *waiting) cost() int { return waitingCost + len(w.segment.Payload) }

// isEarly reports whether a segment acknowledges bytes that have not been read yet. That it
// acknowledges implausibly many shows nothing.
func (c *conversation) isEarly(d event.Direction, s *frame.Segment) bool {
	other := &c.streams[1-d]
	ahead := s.Ack - other.end
	if ahead == 0 || ahead > plausible || s.Flags&frame.ACK == 0 || !other.known || c.oneSided {
		return false
	}
	return !(other.finished && ahead == 1) // its FIN
}

// isBehind reports whether a segment comes behind one that waits: in its direction, or in the other
// one if nothing of that has been delivered, so that acknowledgements show nothing yet.
func (c *conversation) isBehind(d event.Direction, s *frame.Segment) bool {
	return len(c.waits.queues[d]) > 0 || s.Flags&frame.RST != 0 || !c.streams[1-d].known
}

// carries reports whether a segment has anything to deliver.
func carries(s *frame.Segment) bool {
	return len(s.Payload) > 0 || s.Missing > 0 || s.Flags&(frame.FIN|frame.RST) != 0
}

// wait keeps a segment until those before it were read.
func (t *conversations) wait(c *conversation, d event.Direction, s *frame.Segment, now int64) {
	if c.waits == nil {
		c.waits = new(waits)
	}
	t.watch(c)
	w := waiting{segment: *s, time: now, until: now + causalWait, untimed: t.untimed}
	w.segment.Payload = slices.Clone(s.Payload)
	if t.awaitsName(c) {
		w.nameUntil = now + nameWithin
		if c.expected {
			w.nameUntil = now + causalWait
		}
	}
	t.waited++
	w.number = t.waited
	c.waits.queues[d] = append(c.waits.queues[d], w)
	c.waits.bytes += w.cost()
	t.waitingBytes += w.cost()
	t.due = c
}

// watch puts a conversation on the list of those of which segments wait.
func (t *conversations) watch(c *conversation) {
	if !c.waiting {
		c.waiting = true
		t.waiting = append(t.waiting, c)
	}
}

// release delivers segments that need not wait any more, until it has queued an event. It reports
// whether it did.
func (t *conversations) release(now int64) bool {
	for {
		if t.due == nil {
			if len(t.waiting) == 0 {
				return false
			}
			first := t.waiting[0]
			if first.waits != nil && first.deadline() > now && t.waitingBytes <= maxWaiting {
				return false
			}
			t.waiting[0] = nil
			t.waiting = t.waiting[1:]
			if first.waits == nil {
				first.waiting = false
				continue
			}
			t.waiting = append(t.waiting, first)
			t.due = first
		}
		c := t.due
		if !t.releaseNext(c, now) {
			t.due = nil
			continue
		}
		if t.events.filled {
			return true
		}
	}
}

// deadline returns when the first of the segments waits no longer.
func (c *conversation) deadline() int64 {
	first := int64(1<<63 - 1)
	for _, q := range c.waits.queues {
		if len(q) > 0 {
			first = min(first, q[0].until)
			if name := q[0].nameUntil; name != 0 {
				first = min(first, name)
			}
		}
	}
	return first
}

// releaseNext delivers the next segment of a conversation that need not wait. It returns false if
// there is none.
func (t *conversations) releaseNext(c *conversation, now int64) bool {
	if c.waits == nil {
		return false
	}
	for d := range event.Direction(len(c.waits.queues)) {
		if q := c.waits.queues[d]; len(q) > 0 && q[0].nameUntil <= now {
			q[0].nameUntil = 0
		}
		if len(c.waits.queues[d]) > 0 && c.mayFollow(d) {
			t.deliverFirst(c, d)
			return true
		}
	}
	// Something was lost, or there is no room: the oldest waits no longer.
	d := event.Request
	q := &c.waits.queues
	if len(q[d]) == 0 || len(q[event.Reply]) > 0 && q[event.Reply][0].number < q[event.Request][0].number {
		d = event.Reply
	}
	if q[d][0].until > now && c.waits.bytes <= maxWaitingEach && t.waitingBytes <= maxWaiting {
		return false
	}
	c.oneSided = c.oneSided || !c.seen[1-d]
	t.deliverFirst(c, d)
	return true
}

// mayFollow reports whether the first waiting segment of a direction comes next: all that it
// acknowledges has been delivered, or cannot come any more, because the other direction goes on
// behind it.
func (c *conversation) mayFollow(d event.Direction) bool {
	w, others := &c.waits.queues[d][0], c.waits.queues[1-d]
	if w.nameUntil != 0 {
		return false
	}
	if w.segment.Flags&frame.RST != 0 {
		return len(others) == 0 || others[0].number > w.number
	}
	if len(others) > 0 && others[0].number < w.number && !c.streams[1-d].known {
		return false
	}
	return !c.isEarly(d, &w.segment) || len(others) > 0 && int32(others[0].segment.Seq-w.segment.Ack) >= 0
}

// deliverFirst delivers the first waiting segment of a direction.
func (t *conversations) deliverFirst(c *conversation, d event.Direction) {
	q := &c.waits.queues[d]
	w := (*q)[0]
	(*q)[0] = waiting{}
	*q = (*q)[1:]
	c.waits.bytes -= w.cost()
	t.waitingBytes -= w.cost()
	if len(c.waits.queues[0])+len(c.waits.queues[1]) == 0 {
		c.waits = nil
	}
	untimed := t.untimed
	t.untimed = w.untimed
	t.deliver(c, d, &w.segment, w.time)
	t.untimed = untimed
}

// forget drops the waiting segments of a conversation that is removed.
func (t *conversations) forget(c *conversation) {
	if c.waits != nil {
		t.waitingBytes -= c.waits.bytes
		c.waits = nil
	}
	if t.due == c {
		t.due = nil
	}
}

// causal returns the time of a segment, which is not before that of what it acknowledges.
func (t *conversations) causal(c *conversation, d event.Direction, s *frame.Segment, now int64) int64 {
	st, other := &c.streams[d], &c.streams[1-d]
	if now < other.last && s.Ack-other.end <= 1 && s.Flags&frame.ACK != 0 {
		if ahead := other.last - now; !t.untimed {
			t.skewed++
			t.skew = max(t.skew, ahead)
		}
		now = other.last
	}
	st.last = max(st.last, now)
	return now
}

// inFlight is how long after a capture began, in ns, bytes that had passed before may not have been
// acknowledged yet.
const inFlight = int64(50 * time.Millisecond)

// begin sets where a stream begins of which only acknowledgements were seen so far. Bytes ahead of
// those were sent before the capture began, if that is not long ago; else they are missing, or come
// late. Bytes behind them have passed unread: what answers them has been delivered already.
func (t *conversations) begin(c *conversation, st *stream, d event.Direction, s *frame.Segment, now int64) {
	st.assumed = false
	switch ahead := int32(s.Seq - st.end); {
	case ahead > 0 && now-t.since < inFlight:
		st.end = s.Seq
	case ahead > 0:
		t.gap(c, d, 0, st.end, 0, now) // where the stream begins: nothing is missing before that
	case ahead < -1: // a single byte may be a keep-alive
		t.gap(c, d, 0, s.Seq, uint32(-ahead), now)
	}
}
