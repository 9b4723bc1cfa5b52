package reorder

import (
	"math"
	"slices"
)

// window is how far behind the expected offset a segment may begin and still be an old one: the
// largest window of TCP. A segment further behind is ahead, by up to 3 GiB: offsets wrap around at
// 4 GiB.
const window = 1 << 30

// Limits bound one Buffer.
type Limits struct {
	Cost     int // the sum of its segments' Cost
	Segments int
}

// Buffer is the reorder buffer of one direction of a connection.
type Buffer struct {
	next     uint32 // offset of the next byte
	known    bool   // next is set
	segments []Segment
	cost     int // of segments
	// The bytes that were given up last, which may come all the same.
	missed, missedLen uint32
}

// Start sets the offset of the next byte.
func (b *Buffer) Start(seq uint32) {
	b.next, b.known = seq, true
}

// Started reports whether the offset of the next byte is known.
func (b *Buffer) Started() bool { return b.known }

// Next returns the offset of the next byte.
func (b *Buffer) Next() uint32 { return b.next }

// Advance passes over the next n bytes, which were read.
func (b *Buffer) Advance(n uint32) { b.next += n }

// PutBack takes the last n bytes back: they are to come again.
func (b *Buffer) PutBack(n uint32) { b.next -= n }

// Miss gives up the next n bytes.
func (b *Buffer) Miss(n uint32) {
	b.missed, b.missedLen = b.next, n
	b.next += n
}

// WasMissed reports whether an offset is of the bytes that were given up last.
func (b *Buffer) WasMissed(seq uint32) bool { return seq-b.missed < b.missedLen }

// Distance returns how far ahead of the next byte an offset is; negative: behind.
func (b *Buffer) Distance(seq uint32) int64 {
	if behind := b.next - seq; behind <= window {
		return -int64(behind)
	}
	return int64(seq - b.next)
}

// Trim removes from s the bytes that have passed already. It returns the size of the hole before s,
// and false if nothing of s is new.
func (b *Buffer) Trim(s *Segment) (hole uint32, fresh bool) {
	at := b.Distance(s.Seq)
	if at >= 0 {
		return uint32(at), s.Len > 0
	}
	if -at >= int64(s.Len) {
		return 0, false
	}
	s.cut(uint32(-at))
	return 0, true
}

// Empty reports whether no segment waits.
func (b *Buffer) Empty() bool { return len(b.segments) == 0 }

// Len returns the number of segments that wait.
func (b *Buffer) Len() int { return len(b.segments) }

// Cost returns the memory of the segments that wait, in bytes.
func (b *Buffer) Cost() int { return b.cost }

// First returns the first segment that waits, which there must be. It is valid until the next call
// that changes the Buffer.
func (b *Buffer) First() *Segment { return &b.segments[0] }

// FirstBytes returns the first segment that is not empty; nil if there is none. It is valid until the
// next call that changes the Buffer.
func (b *Buffer) FirstBytes() *Segment {
	for i := range b.segments {
		if b.segments[i].Len > 0 {
			return &b.segments[i]
		}
	}
	return nil
}

// Ready reports whether the first segment begins at the next byte or before.
func (b *Buffer) Ready() bool {
	return len(b.segments) > 0 && b.Distance(b.segments[0].Seq) <= 0
}

// Hole returns the number of bytes missing before an offset.
func (b *Buffer) Hole(seq uint32) uint32 {
	return uint32(max(0, b.Distance(seq)))
}

// Deadline returns when the first of the segments waits no longer; math.MaxInt64 if none waits.
func (b *Buffer) Deadline() int64 {
	first := int64(math.MaxInt64)
	for i := range b.segments {
		first = min(first, b.segments[i].Until)
	}
	return first
}

// HasRoom reports whether the limits allow s beside the segments that wait.
func (b *Buffer) HasRoom(s *Segment, l Limits) bool {
	return len(b.segments) < l.Segments && b.cost+s.Cost() <= l.Cost
}

// Hold keeps a copy of s until its turn comes.
func (b *Buffer) Hold(s Segment) {
	if s.Data != nil {
		s.Data = slices.Clone(s.Data)
	}
	if s.Arrivals != nil {
		arrivals := slices.Clone(*s.Arrivals)
		s.Arrivals = &arrivals
	}
	at := b.Distance(s.Seq)
	i := len(b.segments)
	for i > 0 && b.Distance(b.segments[i-1].Seq) > at {
		i--
	}
	b.segments = slices.Insert(b.segments, i, s)
	b.cost += s.Cost()
}

// Take removes the first segment, and from it the bytes that have passed already. It returns false
// if nothing of it is new.
func (b *Buffer) Take() (Segment, bool) {
	s := b.segments[0]
	b.cost -= s.Cost()
	b.segments = slices.Delete(b.segments, 0, 1)
	if len(b.segments) == 0 {
		b.segments = nil // an idle connection keeps no memory for a rare case
	}
	_, fresh := b.Trim(&s)
	return s, fresh
}

// Clear drops all segments.
func (b *Buffer) Clear() {
	b.segments, b.cost = nil, 0
}
