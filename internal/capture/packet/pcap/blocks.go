package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The types of blocks that are used. Others are skipped.
const (
	blockInterface      = 1
	blockPacket         = 2 // obsolete, but still in use
	blockSimplePacket   = 3
	blockStatistics     = 5
	blockEnhancedPacket = 6
	blockSection        = magicSection
)

const (
	blockFrame    = 12 // type and length before the content, length again behind it
	byteOrder     = 0x1a2b3c4d
	maxInterfaces = 4096
)

// blocks reads the pcapng format.
type blocks struct {
	*window
	order      binary.ByteOrder
	interfaces []iface
	lost       uint64 // packets lost in earlier sections
	last       int64  // time of the last packet, for packets without a time
}

func newBlocks(w *window) *blocks { return &blocks{window: w, order: binary.LittleEndian} }

func (b *blocks) next(packet *Packet) error {
	for {
		kind, length, err := b.header()
		if err != nil {
			return err
		}
		if !isRead(kind) {
			if err := b.skip(int64(length)); err != nil {
				return b.cut(err, "ends within a block")
			}
			continue
		}
		if length > bufferSize {
			return b.damaged(fmt.Sprintf("a block has a length of %d bytes", length))
		}
		block, err := b.peek(int(length))
		if err != nil {
			return b.cut(err, "ends within a block")
		}
		if again := b.order.Uint32(block[length-4:]); again != length {
			return b.damaged(fmt.Sprintf("a block of %d bytes says at its end that it has %d", length, again))
		}
		found, err := b.read(kind, block[8:length-4], packet)
		if err != nil {
			return err
		}
		b.take(int(length))
		if found {
			b.packets = true
			return nil
		}
	}
}

func isRead(kind uint32) bool {
	switch kind {
	case blockInterface, blockPacket, blockSimplePacket, blockStatistics, blockEnhancedPacket, blockSection:
		return true
	}
	return false
}

// header returns type and length of the next block. at the beginning of a section it sets the byte
// order.
func (b *blocks) header() (kind, length uint32, err error) {
	head, err := b.peek(blockFrame)
	if errors.Is(err, io.EOF) {
		return 0, 0, io.EOF
	}
	if err != nil {
		return 0, 0, b.cut(err, "ends within the header of a block")
	}
	kind = b.order.Uint32(head)
	if kind == blockSection {
		switch uint32(byteOrder) {
		case binary.LittleEndian.Uint32(head[8:]):
			b.order = binary.LittleEndian
		case binary.BigEndian.Uint32(head[8:]):
			b.order = binary.BigEndian
		default:
			return 0, 0, b.damaged("a section has no valid byte order")
		}
	}
	length = b.order.Uint32(head[4:])
	if length < blockFrame || length%4 != 0 {
		return 0, 0, b.damaged(fmt.Sprintf("a block has the length %d", length))
	}
	return kind, length, nil
}

// read parses the content of a block. It reports whether that was a packet.
func (b *blocks) read(kind uint32, content []byte, packet *Packet) (bool, error) {
	switch kind {
	case blockSection:
		return false, b.section(content)
	case blockInterface:
		return false, b.describe(content)
	case blockStatistics:
		b.statistics(content)
		return false, nil
	case blockSimplePacket:
		return true, b.simple(content, packet)
	}
	return true, b.packet(kind, content, packet)
}

func (b *blocks) section(content []byte) error {
	if len(content) < 16 {
		return b.damaged("a section has no complete header")
	}
	if major := b.order.Uint16(content[4:]); major != 1 {
		return b.fault(fmt.Sprintf("has version %d of the pcapng format", major), "only version 1 is supported")
	}
	b.lost = b.dropped()
	b.interfaces = b.interfaces[:0]
	return nil
}

// packet parses an enhanced packet block, or an obsolete packet block, whose interface field
// differs.
func (b *blocks) packet(kind uint32, content []byte, packet *Packet) error {
	const head = 20
	if len(content) < head {
		return b.damaged("a packet has no complete header")
	}
	index := b.order.Uint32(content)
	if kind == blockPacket {
		index = uint32(b.order.Uint16(content))
	}
	if uint64(index) >= uint64(len(b.interfaces)) {
		return b.damaged(fmt.Sprintf("a packet is of interface %d, which the file does not describe", index))
	}
	kept, length := b.order.Uint32(content[12:]), b.order.Uint32(content[16:])
	if kept > MaxPacket || int(kept) > len(content)-head {
		return b.damaged(fmt.Sprintf("a packet has a length of %d bytes in a block of %d", kept, len(content)))
	}
	from := &b.interfaces[index]
	stamp := uint64(b.order.Uint32(content[4:]))<<32 | uint64(b.order.Uint32(content[8:]))
	if stamp != 0 {
		b.last = from.nanoseconds(stamp)
	}
	*packet = Packet{Time: b.last, Link: from.link, Length: max(int(length), int(kept)), Data: content[head : head+int(kept)], Untimed: stamp == 0}
	b.countDrops(from, kind, content, (head+int(kept)+3)&^3)
	return nil
}

// countDrops adds the packets that were lost between the last packet of an interface and this one.
func (b *blocks) countDrops(from *iface, kind uint32, content []byte, options int) {
	if kind == blockPacket {
		const unknown = 0xffff
		if n := b.order.Uint16(content[2:]); n != unknown {
			from.between += uint64(n)
		}
		return
	}
	if options+4 > len(content) {
		return
	}
	eachOption(b.order, content[options:], func(code uint16, value []byte) {
		if code == optionDroppedBefore && len(value) >= 8 {
			from.between += b.order.Uint64(value)
		}
	})
}

// simple parses a simple packet block: it has no time, and belongs to the first interface.
func (b *blocks) simple(content []byte, packet *Packet) error {
	if len(content) < 4 || len(b.interfaces) == 0 {
		return b.damaged("a simple packet has no header, or no interface")
	}
	from := &b.interfaces[0]
	length := int(b.order.Uint32(content))
	kept := min(length, len(content)-4, MaxPacket)
	if from.snap > 0 {
		kept = min(kept, int(from.snap))
	}
	*packet = Packet{Time: b.last, Link: from.link, Length: length, Data: content[4 : 4+kept], Untimed: true}
	return nil
}

func (b *blocks) damaged(cause string) error {
	return b.fault(cause, "the file is damaged from here on; "+b.remainder())
}
