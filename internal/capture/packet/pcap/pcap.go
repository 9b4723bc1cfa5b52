package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Link is a link type: its number in the registry of tcpdump.org.
type Link uint16

// Packet is one packet of a capture.
type Packet struct {
	Time   int64  // nanoseconds since 1970
	Link   Link   // the header that Data begins with
	Length int    // bytes on the wire; more than len(Data) if the capture cut off the packet
	Data   []byte // valid until the next call of Next

	// Untimed: the file has no time for the packet, or has 0 for it. Time is then that of the
	// packet before it.
	Untimed bool
}

// MaxPacket is the longest packet that is read, in bytes: four times the maximum of tcpdump, and
// enough for any segment that a kernel merges.
const MaxPacket = 1 << 20

// Fault is an error for a damaged capture file.
type Fault struct {
	File   string
	Offset int64 // in the file, decompressed if it was compressed
	Cause  string
	Remedy string
}

// Error returns file, offset, cause and remedy.
func (f *Fault) Error() string {
	return fmt.Sprintf("read %s at byte %d: %s (%s)", f.File, f.Offset, f.Cause, f.Remedy)
}

// format is a container format.
type format interface {
	next(packet *Packet) error
	dropped() uint64
}

// Reader reads one capture file.
type Reader struct {
	format
	close func()
}

// The magic numbers of the formats, in the byte order of the machine that wrote the file.
const (
	magicMicroseconds = 0xa1b2c3d4
	magicNanoseconds  = 0xa1b23c4d
	magicModified     = 0xa1b2cd34
	magicSection      = 0x0a0d0d0a // the same in both byte orders
)

// NewReader returns a Reader of a capture; errors use the name. The caller must Close the Reader,
// which does not close the input.
func NewReader(name string, input io.Reader) (*Reader, error) {
	plain, closeInput, err := decompress(name, input)
	if err != nil {
		return nil, err
	}
	w := newWindow(name, plain)
	r := &Reader{close: closeInput}
	if r.format, err = identify(w); err != nil {
		closeInput()
		return nil, err
	}
	return r, nil
}

func identify(w *window) (format, error) {
	magic, err := w.peek(4)
	if errors.Is(err, io.EOF) {
		return nil, w.fault("is empty", "no packet was captured, or the capture has not been written yet")
	}
	if err != nil {
		return nil, w.cut(err, "begins with no header of a capture file")
	}
	number := binary.LittleEndian.Uint32(magic)
	for _, number := range []uint32{number, bits.ReverseBytes32(number)} {
		switch number {
		case magicSection:
			return newBlocks(w), nil
		case magicMicroseconds, magicNanoseconds:
			return newClassic(w)
		case magicModified:
			return nil, w.fault("has the modified pcap format of old Red Hat kernels", "convert it: editcap -F pcap FILE NEW")
		}
	}
	return nil, w.fault(fmt.Sprintf("is not a capture file: it begins with %x", magic), "supported are pcap and pcapng, plain, .gz or .zst")
}

// Next reads the next packet. The package comment describes its errors.
func (r *Reader) Next(packet *Packet) error { return r.next(packet) }

// Dropped returns how many packets the capture lost, as reported by the file.
func (r *Reader) Dropped() uint64 { return r.dropped() }

// Close frees the memory of the decompression.
func (r *Reader) Close() { r.close() }
