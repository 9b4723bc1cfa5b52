package pcap

import (
	"errors"
	"fmt"
	"io"
)

const (
	// readSize is how much is read ahead: few enough to be in the processor's cache still when its turn comes.
	readSize = 256 << 10
	// bufferSize is how much the longest packet takes, with what surrounds it in a block of pcapng.
	bufferSize = MaxPacket + 512<<10
)

// window is the part of a file that is in memory. Its buffer grows to what the packets of the file need.
type window struct {
	name       string
	input      io.Reader
	buffer     []byte
	start, end int   // what was read and not taken yet
	base       int64 // where the buffer begins in the file
}

func newWindow(name string, input io.Reader) *window {
	return &window{name: name, input: input, buffer: make([]byte, readSize)}
}

// ahead returns what was read and not taken yet.
func (w *window) ahead() []byte { return w.buffer[w.start:w.end] }

// peek returns the next n bytes, without taking them; n is at most bufferSize. At the end of the file it returns io.EOF if
// nothing is left, and io.ErrUnexpectedEOF if less than n.
func (w *window) peek(n int) ([]byte, error) {
	if w.end-w.start < n {
		if err := w.fill(n); err != nil {
			return nil, err
		}
	}
	return w.buffer[w.start : w.start+n], nil
}

// fill reads on until n bytes are ahead. Its errors are those of peek.
func (w *window) fill(n int) error {
	buffer := w.buffer
	if n > len(buffer) {
		buffer = make([]byte, min(bufferSize, 2*n))
	}
	w.end = copy(buffer, w.ahead())
	w.base += int64(w.start)
	w.buffer, w.start = buffer, 0
	got, err := io.ReadAtLeast(w.input, w.buffer[w.end:max(n, readSize)], n-w.end)
	had := w.end
	w.end += got
	if errors.Is(err, io.EOF) && had > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// take gives up the first n of the bytes that are ahead.
func (w *window) take(n int) { w.start += n }

// skip leaves out n bytes, however many.
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

func (w *window) fault(cause, remedy string) error {
	return &Fault{File: w.name, Offset: w.base + int64(w.start), Cause: cause, Remedy: remedy}
}

// cut turns the error of a read into a Fault.
func (w *window) cut(err error, where string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return w.fault(where, "the capture was cut off; what came before was read")
	}
	return w.fault(fmt.Sprintf("cannot be read on: %s", err), "the file is damaged; what came before was read")
}
