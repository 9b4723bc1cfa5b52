package packet

import (
	"slices"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// payload queues the payload of a segment, unless all of it was seen before.
func (t *conversations) payload(c *conversation, st *stream, d event.Direction, s *frame.Segment, now int64) {
	if st.known && s.Seq == st.end && s.Missing == 0 && s.Flags&frame.URG == 0 { // nearly always
		st.end += uint32(len(s.Payload))
		e := t.event(c, event.Data, now)
		e.Direction, e.Seq, e.Data = d, s.Seq, s.Payload
		return
	}
	length := uint32(len(s.Payload)) + s.Missing
	if !st.known {
		st.end, st.known = s.Seq, true
	}
	after := s.Seq + length
	switch ahead := int32(s.Seq - st.end); {
	case ahead > 0:
		st.addHole(hole{st.end, s.Seq})
	case int32(after-st.end) <= 0 && !st.fillHoles(s.Seq, after):
		return
	case ahead < 0:
		st.fillHoles(s.Seq, after)
	}
	if int32(after-st.end) > 0 {
		st.end = after
	}
	at, urgent := urgentByte(s)
	if !urgent {
		t.carried(c, d, s.Seq, s.Payload, s.Missing, now)
		return
	}
	kept := uint32(len(s.Payload))
	before, behind := min(at, kept), min(at+1, kept)
	t.carried(c, d, s.Seq, s.Payload[:before], at-before, now)
	t.gap(c, d, event.Urgent, s.Seq+at, 1, now)
	t.carried(c, d, s.Seq+at+1, s.Payload[behind:], length-(at+1)-(kept-behind), now)
}

// carried queues bytes, and a gap for the missing bytes behind them that the capture cut off.
func (t *conversations) carried(c *conversation, d event.Direction, seq uint32, data []byte, missing uint32, now int64) {
	if len(data) > 0 {
		e := t.event(c, event.Data, now)
		e.Direction, e.Seq, e.Data = d, seq, data
	}
	if missing > 0 {
		t.gap(c, d, event.Snapped, seq+uint32(len(data)), missing, now)
	}
}

func (t *conversations) gap(c *conversation, d event.Direction, reason event.Reason, seq, n uint32, now int64) {
	e := t.event(c, event.Gap, now)
	e.Direction, e.Reason, e.Seq, e.Len = d, reason, seq, n
}

// urgentByte returns the index of the urgent byte (MSG_OOB) of a segment, if there is one. That
// byte has an offset in the stream, but is not part of the protocol. The urgent pointer refers to
// the byte behind it, as in all implementations, although RFC 1122 says otherwise. It may point
// behind the segment; the next segment repeats it then.
func urgentByte(s *frame.Segment) (at uint32, urgent bool) {
	at = uint32(s.Urgent) - 1
	return at, s.Flags&frame.URG != 0 && at < uint32(len(s.Payload))+s.Missing
}

// addHole records missing bytes. If there are too many holes already, the tracker's timeout handles
// them.
func (st *stream) addHole(h hole) {
	if len(st.holes) < maxHoles {
		st.holes = append(st.holes, h)
	}
}

// fillHoles closes holes as far as a segment covers them. It reports whether it covers any.
func (st *stream) fillHoles(from, to uint32) bool {
	filled := false
	for i := 0; i < len(st.holes); i++ {
		h := st.holes[i]
		if int32(to-h.from) <= 0 || int32(from-h.to) >= 0 {
			continue
		}
		filled = true
		before, behind := hole{h.from, from}, hole{to, h.to}
		var rest []hole
		if int32(before.to-before.from) > 0 {
			rest = append(rest, before)
		}
		if int32(behind.to-behind.from) > 0 && len(st.holes)+len(rest) <= maxHoles {
			rest = append(rest, behind)
		}
		st.holes = slices.Replace(st.holes, i, i+1, rest...)
		i += len(rest) - 1
	}
	if len(st.holes) == 0 {
		st.holes = nil
	}
	return filled
}

// acknowledged queues gaps for bytes that the other end acknowledged and the capture lacks: they
// will not be sent again.
func (t *conversations) acknowledged(c *conversation, d event.Direction, ack uint32, now int64) {
	st := &c.streams[d]
	for len(st.holes) > 0 && int32(ack-st.holes[0].to) >= 0 {
		h := st.holes[0]
		e := t.event(c, event.Gap, now)
		e.Direction, e.Seq, e.Len = d, h.from, h.to-h.from
		st.holes = slices.Delete(st.holes, 0, 1)
	}
}

// life queues an event of the conversation as a whole.
func (t *conversations) life(c *conversation, kind event.Kind, now int64) *event.Event {
	e := t.event(c, kind, now)
	e.Seq, e.ReplySeq = c.streams[event.Request].end, c.streams[event.Reply].end
	e.Left = kind == event.HalfClosed // packets do not show whether the application still reads
	return e
}

func (t *conversations) event(c *conversation, kind event.Kind, now int64) *event.Event {
	e := t.events.push()
	*e = event.Event{}
	e.Kind, e.Role, e.Conn, e.Time = kind, c.role, c.id, now
	e.Endpoints, e.Untimed = c.endpoints, t.untimed
	return e
}

// eventQueue holds the events of one segment. The first one goes directly to the reader, the others
// wait here. Its size suffices for the most events that a segment can cause: gaps of all
// acknowledged holes, the end of an earlier conversation, the beginning of this one and the payload
// of its SYN, payload before and behind an urgent byte, that byte, the missing bytes of either, and
// its end.
type eventQueue struct {
	reader     *event.Event // receives the next event
	filled     bool         // it has received one
	waiting    [maxHoles + 12]event.Event
	next, size int
}

// begin sets the event that receives the next one, and fills it at once if an event waits.
func (q *eventQueue) begin(e *event.Event) {
	q.reader, q.filled = e, q.next < q.size
	if q.filled {
		*e = q.waiting[q.next]
		q.next++
	}
}

func (q *eventQueue) push() *event.Event {
	if !q.filled {
		q.filled = true
		return q.reader
	}
	if q.next == q.size {
		q.next, q.size = 0, 0
	}
	q.size++
	return &q.waiting[q.size-1]
}
