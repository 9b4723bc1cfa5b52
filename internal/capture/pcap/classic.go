package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	fileHeader   = 24
	recordHeader = 16
)

// classic reads the pcap format.
type classic struct {
	*window
	order binary.ByteOrder
	unit  int64 // nanoseconds
	link  Link
}

func newClassic(w *window, order binary.ByteOrder, unit int64) (*classic, error) {
	header, err := w.peek(fileHeader)
	if err != nil {
		return nil, w.cut(err, "ends within the header of the file")
	}
	if major := order.Uint16(header[4:]); major != 2 {
		return nil, w.fault(fmt.Sprintf("is of version %d of the pcap format", major), "version 2 is read")
	}
	// The upper half of the link type says how long a frame check sequence is, which lies beyond the IP packet anyway.
	c := &classic{window: w, order: order, unit: unit, link: Link(order.Uint32(header[20:]))}
	w.take(fileHeader)
	return c, nil
}

func (c *classic) next(packet *Packet) error {
	header, err := c.peek(recordHeader)
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return c.cut(err, "ends within the header of a packet")
	}
	var seconds, fraction, kept, length uint32
	if c.order == binary.LittleEndian {
		seconds, fraction = binary.LittleEndian.Uint32(header), binary.LittleEndian.Uint32(header[4:])
		kept, length = binary.LittleEndian.Uint32(header[8:]), binary.LittleEndian.Uint32(header[12:])
	} else {
		seconds, fraction = binary.BigEndian.Uint32(header), binary.BigEndian.Uint32(header[4:])
		kept, length = binary.BigEndian.Uint32(header[8:]), binary.BigEndian.Uint32(header[12:])
	}
	if kept > MaxPacket {
		return c.fault(fmt.Sprintf("a packet claims to hold %d bytes", kept), "the file is damaged from here on; what came before was read")
	}
	record, err := c.peek(recordHeader + int(kept))
	if err != nil {
		return c.cut(err, "ends within a packet")
	}
	packet.Time = int64(seconds)*1e9 + int64(fraction)*c.unit
	packet.Link = c.link
	packet.Length = max(int(length), int(kept))
	packet.Data = record[recordHeader:]
	c.take(len(record))
	return nil
}

// dropped: the format has no place for it.
func (c *classic) dropped() uint64 { return 0 }
