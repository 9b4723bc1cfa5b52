package bpf

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// ring reads the kernel's ring buffer in place. The library's reader copies each record and
// publishes its position after each one, which is most of the cost of reading. Layout:
// Documentation/bpf/ringbuf.rst.
type ring struct {
	consumer  *uint64 // position up to which the kernel may overwrite
	producer  *uint64
	data      []byte // the records; mapped once, although the kernel offers them twice in a row, to save resident memory
	torn      []byte // a copy of a record that wraps around the end of data
	mask      uint64
	position  uint64 // of the next record
	published uint64 // what *consumer holds
	event     *Event // found by peek, with its payload and the position behind it
	payload   []byte
	after     uint64
	pages     [2][]byte
}

const (
	recordBusy    = 1 << 31
	recordDiscard = 1 << 30
	recordHeader  = 8
)

// publishBytes is how much is read before its room is returned to the kernel.
const publishBytes = 64 << 10

func openRing(m *ebpf.Map) (*ring, error) {
	page, size := os.Getpagesize(), int(m.MaxEntries())
	control, err := unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map ring buffer position: %w", err)
	}
	records, err := unix.Mmap(m.FD(), int64(page), page+size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Munmap(control)
		return nil, fmt.Errorf("map ring buffer: %w", err)
	}
	r := &ring{
		consumer: (*uint64)(unsafe.Pointer(&control[0])),
		producer: (*uint64)(unsafe.Pointer(&records[0])),
		data:     records[page:],
		mask:     uint64(size - 1),
		pages:    [2][]byte{control, records},
	}
	r.position = atomic.LoadUint64(r.consumer)
	r.published = r.position
	return r, nil
}

// peek finds the next event, of which there must be one, and its payload. It returns false if the
// event is still being written.
func (r *ring) peek() bool {
	start := r.position & r.mask
	// Atomic, because the kernel clears the busy bit last: bpf_ringbuf_commit().
	header := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[start])))
	if header&recordBusy != 0 {
		return false
	}
	length := uint64(header &^ recordDiscard)
	r.after = r.position + recordHeader + (length+7)&^7
	var ok bool
	if r.event, r.payload, ok = decode(r.record((start+recordHeader)&r.mask, length)); !ok || header&recordDiscard != 0 {
		r.event, r.payload = new(Event), nil // kind 0: ignored by the caller
	}
	return true
}

// skip advances behind the event that peek found.
func (r *ring) skip() {
	r.position = r.after
	if r.position-r.published >= publishBytes {
		r.publish()
	}
}

// record returns length bytes from start on, copied if they wrap around.
func (r *ring) record(start, length uint64) []byte {
	if start+length <= uint64(len(r.data)) {
		return r.data[start : start+length]
	}
	r.torn = append(r.torn[:0], r.data[start:]...)
	r.torn = append(r.torn, r.data[:length-uint64(len(r.torn))]...)
	return r.torn
}

// end returns the position behind the newest record.
func (r *ring) end() uint64 { return atomic.LoadUint64(r.producer) }

// publish returns the room of the skipped events to the kernel.
func (r *ring) publish() {
	if r.published != r.position {
		atomic.StoreUint64(r.consumer, r.position)
		r.published = r.position
	}
}

func (r *ring) close() error {
	err := unix.Munmap(r.pages[0])
	if err2 := unix.Munmap(r.pages[1]); err == nil {
		err = err2
	}
	return err
}
