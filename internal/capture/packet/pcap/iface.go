package pcap

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The options of an interface, of its statistics and of a packet that are used.
const (
	optionEnd             = 0
	optionDroppedBefore   = 4 // of a packet: lost since the one before it
	optionDroppedByDevice = 5
	optionDroppedBySystem = 7
	optionResolution      = 9
	optionOffset          = 14
)

// iface is an interface of a pcapng section.
type iface struct {
	link    Link
	snap    uint32
	units   uint64 // time stamp units per second
	offset  int64  // seconds added to each time stamp
	dropped uint64 // according to its statistics
	between uint64 // according to its packets
}

// nanoseconds converts a time stamp. An absurd one gives an absurd result, but does not panic.
func (i *iface) nanoseconds(stamp uint64) int64 {
	switch i.units {
	case 1e6:
		return int64(stamp)*1000 + i.offset*1e9
	case 1e9:
		return int64(stamp) + i.offset*1e9
	}
	high, low := bits.Mul64(stamp%i.units, 1e9)
	fraction, _ := bits.Div64(high, low, i.units)
	return (int64(stamp/i.units)+i.offset)*1e9 + int64(fraction)
}

// describe parses an interface description block.
func (b *blocks) describe(content []byte) error {
	if len(content) < 8 || len(b.interfaces) == maxInterfaces {
		return b.damaged("the description of an interface is too short, or one too many")
	}
	described := iface{link: Link(b.order.Uint16(content)), snap: b.order.Uint32(content[4:]), units: 1e6}
	valid := true
	eachOption(b.order, content[8:], func(code uint16, value []byte) {
		switch {
		case code == optionResolution && len(value) >= 1:
			described.units, valid = unitsOf(value[0])
		case code == optionOffset && len(value) >= 8:
			described.offset = int64(b.order.Uint64(value))
		}
	})
	if !valid {
		return b.damaged("an interface has a time resolution finer than 64 bits hold")
	}
	b.interfaces = append(b.interfaces, described)
	return nil
}

// unitsOf converts a resolution: a negative power of ten, or of two if the highest bit is set.
func unitsOf(resolution byte) (uint64, bool) {
	exponent := resolution & 0x7f
	if resolution&0x80 != 0 {
		return 1 << (exponent & 63), exponent < 64
	}
	if exponent > 19 {
		return 1, false
	}
	return uint64(math.Round(math.Pow10(int(exponent)))), true
}

// statistics records the losses of the capture. The counts of an interface are cumulative, so the
// last ones apply.
func (b *blocks) statistics(content []byte) {
	const head = 12
	if len(content) < head {
		return
	}
	index := b.order.Uint32(content)
	if uint64(index) >= uint64(len(b.interfaces)) {
		return
	}
	var dropped uint64
	eachOption(b.order, content[head:], func(code uint16, value []byte) {
		if (code == optionDroppedByDevice || code == optionDroppedBySystem) && len(value) >= 8 {
			dropped += b.order.Uint64(value)
		}
	})
	b.interfaces[index].dropped = dropped
}

func (b *blocks) dropped() uint64 {
	sum := b.lost
	for i := range b.interfaces {
		sum += max(b.interfaces[i].dropped, b.interfaces[i].between) // both count the same losses
	}
	return sum
}

// eachOption calls a function with each complete option.
func eachOption(order binary.ByteOrder, list []byte, with func(code uint16, value []byte)) {
	for len(list) >= 4 {
		code, length := order.Uint16(list), int(order.Uint16(list[2:]))
		if code == optionEnd || length > len(list)-4 {
			return
		}
		with(code, list[4:4+length])
		list = list[min(len(list), 4+(length+3)&^3):]
	}
}
