package pcap

import (
	"errors"
	"fmt"
	"io"
)

const (
	// readSize is how many bytes are read ahead: few enough to remain in the CPU's cache.
	readSize = 256 << 10
	// bufferSize is the size of the longest packet, with its pcapng block.
	bufferSize = MaxPacket + 512<<10
)

// place is how far a file was read.
type place struct {
	name    string
	offset  int64 // of what is read next
	packets bool  // a packet was read
}

// window is the part of a file that is in memory. Its buffer grows as the packets of the file
// require.
type window struct {
	place
	input      io.Reader
	buffer     []byte
	start, end int // the bytes ahead: read, but not taken yet
}

func newWindow(name string, input io.Reader) *window {
	return &window{place: place{name: name}, input: input, buffer: make([]byte, readSize)}
}

// ahead returns the bytes that were read, but not taken yet.
func (w *window) ahead() []byte { return w.buffer[w.start:w.end] }

// peek returns the next n bytes without taking them; n is at most bufferSize. At the end of the
// file it returns io.EOF if no byte is left, and io.ErrUnexpectedEOF if fewer than n are left.
func (w *window) peek(n int) ([]byte, error) {
	if w.end-w.start < n {
		if err := w.fill(n); err != nil {
			return nil, err
		}
	}
	return w.buffer[w.start : w.start+n], nil
}

// fill reads until n bytes are ahead. Its errors are those of peek.
func (w *window) fill(n int) error {
	buffer := w.buffer
	if n > len(buffer) {
		buffer = make([]byte, min(bufferSize, 2*n))
	}
	w.end = copy(buffer, w.ahead())
	w.buffer, w.start = buffer, 0
	got, err := io.ReadAtLeast(w.input, w.buffer[w.end:max(n, readSize)], n-w.end)
	had := w.end
	w.end += got
	if errors.Is(err, io.EOF) && had > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// take removes the first n of the bytes ahead.
func (w *window) take(n int) {
	w.start += n
	w.offset += int64(n)
}

// skip skips n bytes; n may exceed bufferSize.
func (w *window) skip(n int64) error {
	for n > 0 {
		if w.start == w.end {
			if err := w.fill(1); err != nil {
				return err
			}
		}
		step := int(min(n, int64(w.end-w.start)))
		w.take(step)
		n -= int64(step)
	}
	return nil
}

func (p *place) fault(cause, remedy string) error {
	return &Fault{File: p.name, Offset: p.offset, Cause: cause, Remedy: remedy}
}

// cut converts the error of a read to a Fault.
func (p *place) cut(err error, where string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return p.fault(where, "the capture was cut off; "+p.remainder())
	}
	return p.fault(fmt.Sprintf("cannot be read further: %s", err), "the file is damaged; "+p.remainder())
}

// remainder says which packets of a damaged file were read.
func (p *place) remainder() string {
	if p.packets {
		return "the packets before were read"
	}
	return "no packet of it was read"
}
