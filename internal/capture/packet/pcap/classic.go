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
	swapped bool  // the numbers are big-endian
	unit    int64 // of the fractions of a second, in ns
	link    Link
	last    int64 // time of the last packet, for packets without a time
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
		return nil, w.fault(fmt.Sprintf("has version %d of the pcap format", major), "only version 2 is supported")
	}
	// The upper half of the link type is the length of the frame check sequence, which is behind
	// the IP packet.
	link := binary.LittleEndian.Uint32(header[20:])
	if swapped {
		link = bits.ReverseBytes32(link)
	}
	c.link = Link(link)
	w.take(fileHeader)
	return c, nil
}

func (c *classic) next(packet *Packet) error {
	if c.end-c.start < recordHeader {
		if err := c.fill(recordHeader); err != nil {
			if errors.Is(err, io.EOF) {
				return io.EOF
			}
			return c.cut(err, "ends within the header of a packet")
		}
	}
	record := c.ahead()
	header := (*[recordHeader]byte)(record)
	seconds, fraction := binary.LittleEndian.Uint32(header[0:]), binary.LittleEndian.Uint32(header[4:])
	kept, length := binary.LittleEndian.Uint32(header[8:]), binary.LittleEndian.Uint32(header[12:])
	if c.swapped {
		seconds, fraction = bits.ReverseBytes32(seconds), bits.ReverseBytes32(fraction)
		kept, length = bits.ReverseBytes32(kept), bits.ReverseBytes32(length)
	}
	if kept > MaxPacket {
		return c.fault(fmt.Sprintf("a packet has a length of %d bytes", kept), "the file is damaged from here on; "+c.remainder())
	}
	size := recordHeader + int(kept)
	if len(record) < size {
		if err := c.fill(size); err != nil {
			return c.cut(err, "ends within a packet")
		}
		record = c.ahead()
	}
	packet.Untimed = seconds|fraction == 0
	if !packet.Untimed {
		c.last = int64(seconds)*1e9 + int64(fraction)*c.unit
	}
	packet.Time = c.last
	packet.Link = c.link
	packet.Length = int(max(length, kept))
	packet.Data = record[recordHeader:size]
	c.packets = true
	c.take(size)
	return nil
}

// dropped returns 0: the format has no such field.
func (c *classic) dropped() uint64 { return 0 }
