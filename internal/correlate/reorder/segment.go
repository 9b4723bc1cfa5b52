package reorder

import "github.com/redis-observer/redis-observer/internal/event"

// Segment is bytes of a stream at their offset, or a gap of known length in it.
type Segment struct {
	Seq, Len uint32
	Reason   event.Reason    // of a gap, or of an urgent byte that was read
	Data     []byte          // nil for a gap
	Time     int64           // of its event
	Arrivals *event.Arrivals // of its event; a Buffer keeps a copy
	Until    int64           // of a segment in a Buffer: when it waits no longer
}

// cut removes the first n bytes.
func (s *Segment) cut(n uint32) {
	s.Seq += n
	s.Len -= n
	if s.Data != nil {
		s.Data = s.Data[n:]
	}
}

// SegmentCost is what a segment takes beside its bytes: its entry in a slice that may be twice as
// long as needed, and what is wasted behind them.
const SegmentCost = 128

// Cost returns the bytes of memory that a Buffer needs for the segment.
func (s *Segment) Cost() int { return len(s.Data) + SegmentCost }
