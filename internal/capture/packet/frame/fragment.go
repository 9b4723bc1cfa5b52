package frame

import (
	"cmp"
	"slices"
)

// What is kept of fragments at most.
const (
	maxDatagrams   = 256
	maxPieces      = 256         // of one datagram
	maxDatagram    = 65535       // bytes of one datagram
	maxFragments   = 4 << 20     // bytes of all
	fragmentsLimit = int64(30e9) // nanoseconds until a datagram is given up, as Linux has it
)

// piece is a fragment.
type piece struct {
	id      uint32
	offset  int
	more    bool
	data    []byte
	missing int // bytes that the capture did not keep
}

// datagramKey is what the fragments of a datagram have in common.
type datagramKey struct {
	source, destination [16]byte
	id                  uint32
}

type datagram struct {
	key    datagramKey
	since  int64
	size   int // of the whole; -1 until the last fragment is there
	bytes  int
	pieces []piece
}

// fragments are the datagrams that are not complete, the oldest first.
type fragments struct {
	waiting []*datagram
	bytes   int
	given   uint64
	whole   []byte
}

// GivenUp returns how many datagrams were given up because fragments were missing, too many or contradictory.
func (d *Decoder) GivenUp() uint64 { return d.fragments.given }

// fragment keeps a fragment of the addresses in segment, and sets the segment if it was the last that was missing.
func (d *Decoder) fragment(p piece, time int64, segment *Segment) Verdict {
	if p.missing > 0 {
		return Snapped
	}
	if len(p.data) == 0 || p.more && len(p.data)%8 != 0 || p.offset+len(p.data) > maxDatagram {
		return Malformed
	}
	f := &d.fragments
	for len(f.waiting) > 0 && time-f.waiting[0].since > fragmentsLimit {
		f.giveUp(f.waiting[0])
	}
	g := f.of(datagramKey{segment.Source, segment.Destination, p.id}, time)
	if len(g.pieces) == maxPieces {
		f.giveUp(g)
		return Malformed
	}
	p.data = slices.Clone(p.data)
	g.pieces = append(g.pieces, p)
	g.bytes += len(p.data)
	f.bytes += len(p.data)
	if !p.more {
		g.size = p.offset + len(p.data)
	}
	if g.size >= 0 && g.bytes >= g.size {
		return f.assemble(g, segment)
	}
	for f.bytes > maxFragments || len(f.waiting) > maxDatagrams {
		f.giveUp(f.waiting[0])
	}
	return Pending
}

// of returns the datagram of a key, a new one if need be.
func (f *fragments) of(key datagramKey, now int64) *datagram {
	for _, g := range f.waiting {
		if g.key == key {
			return g
		}
	}
	g := &datagram{key: key, since: now, size: -1}
	f.waiting = append(f.waiting, g)
	return g
}

// assemble puts the fragments of a datagram together. One that was captured twice is left out; others that overlap are an attack.
func (f *fragments) assemble(g *datagram, segment *Segment) Verdict {
	slices.SortStableFunc(g.pieces, func(a, b piece) int { return cmp.Compare(a.offset, b.offset) })
	f.whole = f.whole[:0]
	complete := true
	for i := range g.pieces {
		p := &g.pieces[i]
		switch {
		case p.offset == len(f.whole):
			f.whole = append(f.whole, p.data...)
		case i > 0 && p.offset == g.pieces[i-1].offset && len(p.data) == len(g.pieces[i-1].data):
		case p.offset > len(f.whole):
			complete = false
		default:
			f.giveUp(g)
			return Malformed
		}
	}
	if !complete || len(f.whole) != g.size {
		if len(f.whole) > g.size {
			f.giveUp(g)
			return Malformed
		}
		return Pending
	}
	f.remove(g)
	return tcp(f.whole, 0, segment)
}

func (f *fragments) giveUp(g *datagram) {
	f.given++
	f.remove(g)
}

func (f *fragments) remove(g *datagram) {
	f.bytes -= g.bytes
	f.waiting = slices.DeleteFunc(f.waiting, func(other *datagram) bool { return other == g })
}
