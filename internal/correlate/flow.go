package correlate

import (
	"math"
	"slices"

	"github.com/redis-observer/redis-observer/internal/event"
)

// window is how far behind the expected offset a chunk may begin and still be an old one: the largest window of TCP.
// What is further behind is ahead, by up to 3 GiB: offsets wrap around at 4 GiB.
const window = 1 << 30

// piece is a chunk of a flow, or a gap of known length in it.
type piece struct {
	seq, len uint32
	reason   event.Reason // of a gap, or of an urgent byte that was read
	data     []byte       // nil for a gap
	time     int64
	until    int64 // of one that is held: when it waits no longer
}

// cut removes the first n bytes.
func (p *piece) cut(n uint32) {
	p.seq += n
	p.len -= n
	if p.data != nil {
		p.data = p.data[n:]
	}
}

// pieceCost is what a piece takes beside its bytes: its entry in a slice that may be twice as long as needed, and what is wasted behind them.
const pieceCost = 128

// cost returns what a piece that is held takes of the budget.
func (p *piece) cost() int { return len(p.data) + pieceCost }

// shelf is the budget of the bytes that all flows hold.
type shelf struct {
	budget
	perFlow, perPieces int // bytes and pieces that one flow may hold
}

func newShelf(limit, perFlow, perPieces int) shelf {
	return shelf{newBudget(heldBytes, limit, 0), perFlow, perPieces}
}

// grant reports whether a connection may hold n bytes more, for which others may have to give up what they hold.
func (s *shelf) grant(c *conn, n int) bool {
	for !s.fits(c, n) {
		giver := s.giver(c, n)
		if giver == nil {
			return false
		}
		giver.dropHeld()
	}
	return true
}

// flow puts the pieces of one direction of a connection into order. It is told of offsets only as they come: the first one starts it.
// Pieces that cannot be taken yet are held, because bytes before them are missing or because nobody may read them yet.
type flow struct {
	next  uint32 // offset of the next byte
	known bool   // next is set
	held  []piece
	bytes int // what held takes
	// The bytes that were given up last, which may come all the same.
	missed, missedLen uint32
}

func (f *flow) start(seq uint32) {
	f.next, f.known = seq, true
}

// miss gives up the next n bytes.
func (f *flow) miss(n uint32) {
	f.missed, f.missedLen = f.next, n
	f.next += n
}

// isLate reports whether an offset is of the bytes that were given up last.
func (f *flow) isLate(seq uint32) bool { return seq-f.missed < f.missedLen }

// distance returns how far ahead of the next byte an offset is; negative: behind.
func (f *flow) distance(seq uint32) int64 {
	if behind := f.next - seq; behind <= window {
		return -int64(behind)
	}
	return int64(seq - f.next)
}

// trim removes from p what has passed already. It returns the number of bytes missing before p, and false if nothing of p is new.
func (f *flow) trim(p *piece) (missing uint32, fresh bool) {
	at := f.distance(p.seq)
	if at >= 0 {
		return uint32(at), p.len > 0
	}
	if -at >= int64(p.len) {
		return 0, false
	}
	p.cut(uint32(-at))
	return 0, true
}

// ready reports whether the first of the held pieces is the next one.
func (f *flow) ready() bool {
	return len(f.held) > 0 && f.distance(f.held[0].seq) <= 0
}

// missing returns the number of bytes missing before the first held piece.
func (f *flow) missing() uint32 {
	return uint32(max(0, f.distance(f.held[0].seq)))
}

// deadline returns when the first of the held pieces gives up; never if none is held.
func (f *flow) deadline() int64 {
	first := int64(math.MaxInt64)
	for i := range f.held {
		first = min(first, f.held[i].until)
	}
	return first
}

// hasRoom reports whether the flow may hold p besides what it holds.
func (f *flow) hasRoom(p *piece, s *shelf) bool {
	return len(f.held) < s.perPieces && f.bytes+p.cost() <= s.perFlow
}

// hold keeps a copy of p until its turn comes.
func (f *flow) hold(p piece) {
	if p.data != nil {
		p.data = slices.Clone(p.data)
	}
	at := f.distance(p.seq)
	i := len(f.held)
	for i > 0 && f.distance(f.held[i-1].seq) > at {
		i--
	}
	f.held = slices.Insert(f.held, i, p)
	f.bytes += p.cost()
}

// take removes the first held piece, and from it what has passed already. It returns false if nothing of it is new.
func (f *flow) take() (piece, bool) {
	p := f.held[0]
	f.bytes -= p.cost()
	f.held = slices.Delete(f.held, 0, 1)
	if len(f.held) == 0 {
		f.held = nil // an idle connection keeps no memory for what is rare
	}
	_, fresh := f.trim(&p)
	return p, fresh
}
