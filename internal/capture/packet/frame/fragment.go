package frame

import (
	"cmp"
	"slices"
)

// Limits for fragments.
const (
	maxDatagrams   = 256
	maxFragments   = 256         // of one datagram
	maxDatagram    = 65535       // bytes of one datagram
	maxBytes       = 4 << 20     // of all fragments
	fragmentsLimit = int64(30e9) // ns until an incomplete datagram is discarded, as in Linux
)

// fragment is a part of an IP datagram.
type fragment struct {
	id       uint32
	protocol uint8
	offset   int
	more     bool
	data     []byte
	missing  int // bytes that the capture cut off
}

// datagramKey identifies the fragments of a datagram.
type datagramKey struct {
	source, destination [16]byte
	id                  uint32
	protocol            uint8
}

type datagram struct {
	key   datagramKey
	since int64
	size  int // of the datagram; -1 until the last fragment arrives
	bytes int
	parts []fragment
}

// fragments are the incomplete datagrams, the oldest first.
type fragments struct {
	waiting   []*datagram
	bytes     int
	discarded uint64
	whole     []byte
}

// Discarded returns how many datagrams were discarded because fragments were missing, too many or
// contradictory.
func (d *Decoder) Discarded() uint64 { return d.fragments.discarded }

// fragment stores a fragment, whose addresses are in segment. It sets the segment if the datagram
// is complete.
func (d *Decoder) fragment(p fragment, time int64, segment *Segment) Verdict {
	key := datagramKey{segment.Source, segment.Destination, p.id, p.protocol}
	if p.protocol != protocolTCP && p.offset > 0 && !d.fragments.has(key) {
		return Other // its first fragment, which says what it is, was of no tunnel
	}
	if p.missing > 0 {
		return Snapped
	}
	if len(p.data) == 0 || p.more && len(p.data)%8 != 0 || p.offset+len(p.data) > maxDatagram {
		return Malformed
	}
	f := &d.fragments
	for len(f.waiting) > 0 && time-f.waiting[0].since > fragmentsLimit {
		f.discard(f.waiting[0])
	}
	g := f.of(key, time)
	if len(g.parts) == maxFragments {
		f.discard(g)
		return Malformed
	}
	p.data = slices.Clone(p.data)
	g.parts = append(g.parts, p)
	g.bytes += len(p.data)
	f.bytes += len(p.data)
	if !p.more {
		g.size = p.offset + len(p.data)
	}
	if g.size >= 0 && g.bytes >= g.size {
		if verdict := f.assemble(g); verdict != Whole {
			return verdict
		}
		return d.transport(p.protocol, f.whole, 0, time, segment)
	}
	for f.bytes > maxBytes || len(f.waiting) > maxDatagrams {
		f.discard(f.waiting[0])
	}
	return Pending
}

// has reports whether fragments of a datagram wait.
func (f *fragments) has(key datagramKey) bool {
	return slices.ContainsFunc(f.waiting, func(g *datagram) bool { return g.key == key })
}

// of returns the datagram of a key, and adds it if it does not exist.
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

// assemble concatenates the fragments of a datagram. It skips a duplicate; any other overlap is
// malformed.
func (f *fragments) assemble(g *datagram) Verdict {
	slices.SortStableFunc(g.parts, func(a, b fragment) int { return cmp.Compare(a.offset, b.offset) })
	f.whole = f.whole[:0]
	complete := true
	for i := range g.parts {
		p := &g.parts[i]
		switch {
		case p.offset == len(f.whole):
			f.whole = append(f.whole, p.data...)
		case i > 0 && p.offset == g.parts[i-1].offset && len(p.data) == len(g.parts[i-1].data):
		case p.offset > len(f.whole):
			complete = false
		default:
			f.discard(g)
			return Malformed
		}
	}
	if !complete || len(f.whole) != g.size {
		if len(f.whole) > g.size {
			f.discard(g)
			return Malformed
		}
		return Pending
	}
	f.remove(g)
	return Whole
}

func (f *fragments) discard(g *datagram) {
	f.discarded++
	f.remove(g)
}

func (f *fragments) remove(g *datagram) {
	f.bytes -= g.bytes
	f.waiting = slices.DeleteFunc(f.waiting, func(other *datagram) bool { return other == g })
}
