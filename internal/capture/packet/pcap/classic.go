package pcap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/gopacket/gopacket/pcapgo"
)

const (
	fileHeader   = 24
	recordHeader = 16
)

// classic reads the pcap format, by gopacket's reader.
type classic struct {
	*pcapgo.Reader
	at   place
	last int64 // time of the last packet, for packets without a time
}

// newClassic returns the reader of a pcap file that begins with what the window has ahead.
func newClassic(w *window) (*classic, error) {
	if _, err := w.peek(fileHeader); err != nil {
		return nil, w.cut(err, "ends within the header of the file")
	}
	// Its reader uses a large bufio.Reader as it is; one of its own would have 4 KiB.
	input := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(w.ahead()), w.input), readSize)
	r, err := pcapgo.NewReader(input)
	if err != nil {
		return nil, w.fault(fmt.Sprintf("has no valid header: %s", err), "supported is version 2.4 of the pcap format; convert the file: editcap -F pcap FILE NEW")
	}
	r.SetSnaplen(MaxPacket)
	return &classic{Reader: r, at: place{name: w.name, offset: fileHeader}}, nil
}

func (c *classic) next(packet *Packet) error {
	data, info, err := c.ZeroCopyReadPacketData()
	if err != nil {
		return c.failed(err, info.CaptureLength)
	}
	// The time of packets without one is 0.
	stamp := info.Timestamp.UnixNano()
	if stamp != 0 {
		c.last = stamp
	}
	*packet = Packet{Time: c.last, Link: Link(c.LinkType()), Length: info.Length, Data: data, Untimed: stamp == 0}
	c.at.packets = true
	c.at.offset += int64(recordHeader + len(data))
	return nil
}

// failed converts an error for a packet. kept is the length that the packet's header gives, 0 if
// the header was not read: io.EOF then is the regular end of the file.
func (c *classic) failed(err error, kept int) error {
	switch {
	case errors.Is(err, io.EOF) && kept == 0:
		return io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && kept > 0:
		return c.at.cut(io.ErrUnexpectedEOF, "ends within a packet")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return c.at.cut(err, "ends within the header of a packet")
	case kept > 0:
		return c.at.fault(err.Error(), "the file is damaged from here on; "+c.at.remainder())
	}
	return c.at.cut(err, "")
}

// dropped returns 0: the format has no such field.
func (c *classic) dropped() uint64 { return 0 }
