package packet

import (
	"slices"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// payload passes on what a segment carries, unless all of it was seen before.
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
		st.digs(hole{st.end, s.Seq})
	case int32(after-st.end) <= 0 && !st.fills(s.Seq, after):
		return
	case ahead < 0:
		st.fills(s.Seq, after)
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

// carried passes on bytes, and tells of those behind them that the capture did not keep.
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

// urgentByte returns which byte of a segment is urgent, if one is (MSG_OOB): it has an offset, and is no part of what is said. The pointer
// is to the byte behind it, as all systems have it, whatever RFC 1122 says; it may point beyond the segment, which the next one repeats.
func urgentByte(s *frame.Segment) (at uint32, urgent bool) {
	at = uint32(s.Urgent) - 1
	return at, s.Flags&frame.URG != 0 && at < uint32(len(s.Payload))+s.Missing
}

// digs notes that bytes are missing. Where there are too many holes already, the tracker gives up waiting in its own time.
func (st *stream) digs(h hole) {
	if len(st.holes) < maxHoles {
		st.holes = append(st.holes, h)
	}
}

// fills closes holes as far as a segment covers them. It reports whether it covers any.
func (st *stream) fills(from, to uint32) bool {
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

// acknowledged tells of bytes that the other end has got and the capture has not: they will not be sent again.
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
	e.Left = kind == event.HalfClosed // on the wire a program that still reads looks like one that does not
	return e
}

func (t *conversations) event(c *conversation, kind event.Kind, now int64) *event.Event {
	e := t.events.push()
	*e = event.Event{}
	e.Kind, e.Role, e.Conn, e.Time = kind, c.role, c.id, now
	e.Endpoints = c.endpoints
	return e
}

// eventQueue takes the events of one segment: the first goes straight to whoever reads, the others wait here. There are never
// more than it has room for: those of all holes that were acknowledged, the end of an earlier conversation, the beginning of
// this one and what its SYN carried, payload before and behind an urgent byte, that byte, what is missing of either, and its end.
type eventQueue struct {
	reader     *event.Event // where the next event is to go
	filled     bool         // it went there
	waiting    [maxHoles + 12]event.Event
	next, size int
}

// begin hands the reader's event over to be filled, which it is at once if one waits.
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
