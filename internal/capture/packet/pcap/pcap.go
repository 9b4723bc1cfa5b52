package pcap

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

// Link is a link type, by its number in the registry of tcpdump.org.
type Link uint16

// Packet is one packet of a capture.
type Packet struct {
	Time   int64  // nanoseconds since 1970
	Link   Link   // what Data begins with
	Length int    // bytes on the wire; more than len(Data) if the capture did not keep them all
	Data   []byte // valid until the next call of Next
}

// MaxPacket is the longest packet that is read: four times the largest that tcpdump keeps, enough for any segment that a kernel assembles.
const MaxPacket = 1 << 20

// Fault is damage of a capture file.
type Fault struct {
	File   string
	Offset int64 // in the file, decompressed if it was compressed
	Cause  string
	Remedy string
}

// Error names everything that there is to know.
func (f *Fault) Error() string {
	return fmt.Sprintf("read %s at byte %d: %s (%s)", f.File, f.Offset, f.Cause, f.Remedy)
}

// format is one of the container formats.
type format interface {
	next(packet *Packet) error
	dropped() uint64
}

// Reader reads one capture file.
type Reader struct {
	format
	close func()
}

// The magic numbers of the formats, in the byte order of whoever wrote the file.
const (
	magicMicroseconds = 0xa1b2c3d4
	magicNanoseconds  = 0xa1b23c4d
	magicModified     = 0xa1b2cd34
	magicSection      = 0x0a0d0d0a // reads the same in both byte orders
)

// NewReader begins to read a capture. The name is what errors call it. Close the Reader; it does not close the input.
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
	if err != nil {
		return nil, w.cut(err, "begins with no header of a capture file")
	}
	number := binary.LittleEndian.Uint32(magic)
	for _, swapped := range []bool{false, true} {
		if swapped {
			number = bits.ReverseBytes32(number)
		}
		switch number {
		case magicSection:
			return newBlocks(w), nil
		case magicMicroseconds:
			return newClassic(w, swapped, 1000)
		case magicNanoseconds:
			return newClassic(w, swapped, 1)
		case magicModified:
			return nil, w.fault("is of the modified pcap format of old Red Hat kernels", "convert it: editcap -F pcap FILE NEW")
		}
	}
	return nil, w.fault(fmt.Sprintf("begins with %x, which is no capture file", magic), "pcap and pcapng are read, plain or as .gz or .zst")
}

// Next reads the next packet. See the package comment for what it returns.
func (r *Reader) Next(packet *Packet) error { return r.next(packet) }

// Dropped returns how many packets the file says that its capture lost.
func (r *Reader) Dropped() uint64 { return r.dropped() }

// Close releases what decompression holds.
func (r *Reader) Close() { r.close() }
