package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

const (
	fileHeader   = 24
	recordHeader = 16
)

// classic reads the pcap format.
type classic struct {
	*window
	swapped bool  // its numbers are big-endian
	unit    int64 // nanoseconds
	link    Link
}

func newClassic(w *window, swapped bool, unit int64) (*classic, error) {
	c := &classic{window: w, swapped: swapped, unit: unit}
	header, err := w.peek(fileHeader)
	if err != nil {
		return nil, w.cut(err, "ends within the header of the file")
	}
	major := binary.LittleEndian.Uint16(header[4:])
	if swapped {
		major = bits.ReverseBytes16(major)
	}
	if major != 2 {
		return nil, w.fault(fmt.Sprintf("is of version %d of the pcap format", major), "version 2 is read")
	}
	// The upper half of the link type says how long a frame check sequence is, which lies beyond the IP packet anyway.
	c.link = Link(c.number(header[20:]))
	w.take(fileHeader)
	return c, nil
}

// number reads a number of 32 bits.
func (c *classic) number(b []byte) uint32 {
	n := binary.LittleEndian.Uint32(b)
	if c.swapped {
		n = bits.ReverseBytes32(n)
	}
	return n
}

func (c *classic) next(packet *Packet) error {
	header, err := c.peek(recordHeader)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return c.cut(err, "ends within the header of a packet")
	}
	seconds, fraction, kept, length := c.number(header), c.number(header[4:]), c.number(header[8:]), c.number(header[12:])
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
