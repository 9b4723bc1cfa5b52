package command

import (
	"encoding/binary"
	"math/bits"
)

// index finds names without regard to case, by open addressing.
// Most names fit one word of 8 bytes, and cost one multiplication and one comparison of words.
type index struct {
	slots []slot // a power of two of them, at most half of them used
	shift uint8  // of a hash, so that what remains is the number of a slot
	used  int
}

// slot is a name within its container. An empty slot has an empty name.
type slot struct {
	tail   uint64 // the last word of the name
	name   string
	parent ID
	id     ID
}

func newIndex(names int) index {
	size := bits.Len(uint(2 * names))
	return index{slots: make([]slot, 1<<size), shift: uint8(64 - size)}
}

// insert adds a lower-case name that is not in the index yet.
func (x *index) insert(parent ID, name string, id ID) {
	if 2*x.used >= len(x.slots) {
		x.grow()
	}
	x.used++
	x.place(slot{name: name, parent: parent, id: id})
}

func (x *index) place(s slot) {
	head, tail := words([]byte(s.name))
	s.tail = tail
	mask := uint64(len(x.slots) - 1)
	at := hash(s.parent, head, tail) >> x.shift
	for x.slots[at&mask].name != "" {
		at++
	}
	x.slots[at&mask] = s
}

func (x *index) grow() {
	grown := newIndex(len(x.slots))
	for _, s := range x.slots {
		if s.name != "" {
			grown.place(s)
		}
	}
	x.slots, x.shift = grown.slots, grown.shift
}

// find returns the command of a name within a container, Other if there is none. It ends at an
// empty slot, of which there always is one.
func (x *index) find(parent ID, name []byte) ID {
	if len(name) == 0 || len(name) > maxName {
		return Other
	}
	var head, tail uint64
	if len(name) <= 8 {
		tail = lower(word(name))
	} else {
		head, tail = words(name)
	}
	slots := x.slots
	mask := uint64(len(slots) - 1)
	for at := hash(parent, head, tail) >> (x.shift & 63); ; at++ {
		s := &slots[at&mask]
		if s.tail == tail && s.parent == parent && len(s.name) == len(name) && (len(name) <= 8 || equalHead(s.name, name)) {
			return s.id
		}
		if s.name == "" {
			return Other
		}
	}
}

const multiplier = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio: spreads words that differ in a few bits over the high bits

func hash(parent ID, head, tail uint64) uint64 {
	return (head ^ tail ^ uint64(parent)<<48) * multiplier
}

// words returns the last word of a name of 1 to maxName bytes, and a digest of those before it, 0
// if there are none.
func words(name []byte) (head, tail uint64) {
	if len(name) <= 8 {
		return 0, lower(word(name))
	}
	for rest := name; len(rest) > 8; rest = rest[8:] {
		head = (head ^ lower(binary.LittleEndian.Uint64(rest))) * multiplier
		head ^= head >> 32
	}
	return head, lower(binary.LittleEndian.Uint64(name[len(name)-8:]))
}

// equalHead reports whether name begins as the lower-case want does, of the same length and more
// than 8 bytes. The last 8 bytes are not compared.
func equalHead(want string, name []byte) bool {
	for i := range len(want) - 8 {
		c := name[i]
		if c-'A' <= 'Z'-'A' {
			c |= 0x20
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

// word returns 1 to 8 bytes as a number, the first byte lowest. The masks of the shifts change
// nothing: they spare the test for large ones.
func word(b []byte) uint64 {
	switch n := len(b); {
	case n == 8:
		return binary.LittleEndian.Uint64(b)
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<(8*(n-4)&63)
	case n >= 2:
		return uint64(binary.LittleEndian.Uint16(b)) | uint64(b[n-1])<<(8*(n-1)&63)
	default:
		return uint64(b[0])
	}
}

// lower turns the letters A to Z among 8 bytes into lower case.
func lower(x uint64) uint64 {
	const ones = 0x0101010101010101
	low := x &^ (0x80 * ones)
	fromA := low + (0x80-'A')*ones   // the high bit of each byte: it is at least 'A'
	beyondZ := low + (0x7f-'Z')*ones // the high bit of each byte: it is more than 'Z'
	upper := fromA &^ beyondZ &^ x & (0x80 * ones)
	return x | upper>>2
}
