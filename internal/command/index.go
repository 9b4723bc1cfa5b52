package command

import (
	"encoding/binary"
	"math/bits"
)

// index finds names without regard to case, by open addressing. Most names fit one word of 8 bytes and cost one multiplication and one comparison.
type index struct {
	slots []slot // a power of two, at most half full at first
	used  int
}

// slot is a name within its container. An empty slot has an empty name.
type slot struct {
	tail   uint64 // the last word of the name, see word
	name   string
	parent ID
	id     ID
}

func newIndex(names int) index {
	return index{slots: make([]slot, 1<<bits.Len(uint(2*names)))}
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
	hash, tail := hashName(s.parent, []byte(s.name))
	s.tail = tail
	mask := uint64(len(x.slots) - 1)
	at := hash & mask
	for x.slots[at].name != "" {
		at = (at + 1) & mask
	}
	x.slots[at] = s
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]slot, 2*len(old))
	for _, s := range old {
		if s.name != "" {
			x.place(s)
		}
	}
}

// find returns the command of a name within a container, Other if there is none. It ends at an empty slot, of which there always is one.
func (x *index) find(parent ID, name []byte) ID {
	if len(name) == 0 || len(name) > maxName {
		return Other
	}
	hash, tail := hashName(parent, name)
	mask := uint64(len(x.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		s := &x.slots[at]
		if s.tail == tail && s.parent == parent && len(s.name) == len(name) && (len(name) <= 8 || equalHead(s.name, name)) {
			return s.id
		}
		if s.name == "" {
			return Other
		}
	}
}

// hashName returns the hash of a name of 1 to maxName bytes, and its last word.
func hashName(parent ID, name []byte) (hash, tail uint64) {
	const multiplier = 0x9E3779B97F4A7C15
	hash = uint64(len(name))<<16 | uint64(parent)
	if len(name) > 8 {
		for rest := name; len(rest) > 8; rest = rest[8:] {
			hash = (hash ^ lower(binary.LittleEndian.Uint64(rest))) * multiplier
			hash ^= hash >> 32
		}
		tail = lower(binary.LittleEndian.Uint64(name[len(name)-8:]))
	} else {
		tail = lower(word(name))
	}
	hash = (hash ^ tail) * multiplier
	return hash ^ hash>>32, tail
}

// equalHead reports whether name begins as the lower-case want does, of the same length and more than 8 bytes. The last 8 bytes are not compared.
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

// word returns 1 to 8 bytes as a number. Each length has its own numbers; two lengths may share one.
func word(b []byte) uint64 {
	switch n := len(b); {
	case n == 8:
		return binary.LittleEndian.Uint64(b)
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<(8*(n-4))
	case n >= 2:
		return uint64(binary.LittleEndian.Uint16(b)) | uint64(b[n-1])<<(8*(n-1))
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
