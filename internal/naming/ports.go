package naming

import (
	"math/bits"

	"github.com/redis-observer/redis-observer/internal/address"
)

// portSet is a set of ports.
type portSet [1 << 16 / 64]uint64

func (s *portSet) add(ports address.Ports) {
	for port := int(ports.First); port <= int(ports.Last); port++ {
		s[port/64] |= 1 << (port % 64)
	}
}

func (s *portSet) has(port uint16) bool { return s[port/64]>>(port%64)&1 != 0 }

// union returns the ports of either set.
func (s *portSet) union(other *portSet) *portSet {
	all := *s
	for i := range all {
		all[i] |= other[i]
	}
	return &all
}

// without returns the ports of s that the other set lacks.
func (s *portSet) without(other *portSet) *portSet {
	rest := *s
	for i := range rest {
		rest[i] &^= other[i]
	}
	return &rest
}

// list returns the ports, ascending; nil if there is none.
func (s *portSet) list() []uint16 {
	var ports []uint16
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			ports = append(ports, uint16(i*64+bits.TrailingZeros64(word)))
		}
	}
	return ports
}
