package bpf

import (
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// percpuRing reads in place the events that one CPU wrote for one direction (percpu.h).
type percpuRing struct {
	produced  *uint64 // position behind the newest event
	consumed  *uint64 // position up to which the probes may overwrite
	events    []byte  // the ring, a power of two of bytes, and the slack
	mask      uint64
	position  uint64 // of the next event
	after     uint64 // position behind the event that read returned
	published uint64 // what *consumed holds
	measured  uint64 // position at the last fill
}

// maxPercpuRing is the largest size of a per-CPU ring in bytes: enough for the events of a busy CPU
// between two drains, and little enough to stay in its cache.
const maxPercpuRing = 128 << 10

// percpuRingsHere returns the number of per-CPU rings on this machine, and the size of each in
// bytes. Together they are no larger than the ring buffer. The size is 0 on CPUs that may reorder
// stores, because BPF programs of older kernels have no memory barriers.
func percpuRingsHere(ringSize uint32) (rings, size uint32, err error) {
	processors, err := ebpf.PossibleCPU()
	if err != nil {
		return 0, 0, fmt.Errorf("count CPUs: %w", err)
	}
	rings = 2 * uint32(processors)
	if runtime.GOARCH != "amd64" {
		return rings, 0, nil
	}
	size = min(ringSize/rings, maxPercpuRing)
	if size < uint32(os.Getpagesize()) {
		return rings, 0, nil
	}
	return rings, 1 << (bits.Len32(size) - 1), nil
}

// mapPercpuRings maps the memory of the per-CPU rings. It returns the rings, and the memory to
// unmap.
func mapPercpuRings(m *ebpf.Map) ([]percpuRing, []byte, error) {
	stride := int(m.ValueSize())
	memory, err := unix.Mmap(m.FD(), 0, stride*int(m.MaxEntries()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map per-CPU rings: %w", err)
	}
	rings := make([]percpuRing, m.MaxEntries())
	for i := range rings {
		rings[i] = newPercpuRing(memory[i*stride : (i+1)*stride])
	}
	return rings, memory, nil
}

func newPercpuRing(memory []byte) percpuRing {
	head := (*observerPercpuRing)(unsafe.Pointer(&memory[0]))
	events := memory[unsafe.Sizeof(*head):]
	return percpuRing{
		produced: &head.Produced,
		consumed: &head.Consumed,
		events:   events,
		mask:     uint64(len(events) - int(observerPercpuRingSlackPERCPU_RING_SLACK) - 1),
	}
}

// percpuRingBytes returns the value size of the map for rings of that many bytes.
func percpuRingBytes(size uint32) uint32 {
	return uint32(unsafe.Sizeof(observerPercpuRing{})) + size + uint32(observerPercpuRingSlackPERCPU_RING_SLACK)
}

// end returns the position behind the newest event. It loads atomically, because the probes store
// it after the event.
func (l *percpuRing) end() uint64 { return atomic.LoadUint64(l.produced) }

// event returns the next event, of which there must be one.
func (l *percpuRing) event() *Event { return (*Event)(unsafe.Pointer(&l.events[l.position&l.mask])) }

// read returns the next event, of which there must be one, and its payload.
func (l *percpuRing) read() (*Event, []byte) {
	event := l.event()
	head, length := uint64(payloadStart(event)), uint64(event.Len)
	l.after = l.position + head + (length+7)&^7
	start := l.position&l.mask + head
	return event, l.events[start : start+length]
}

// skip advances behind the event that read returned.
func (l *percpuRing) skip() {
	l.position = l.after
	if l.position-l.published > l.mask/4 {
		l.publish()
	}
}

// publish returns the room of the skipped events to the probes.
func (l *percpuRing) publish() {
	if l.published != l.position {
		atomic.StoreUint64(l.consumed, l.position)
		l.published = l.position
	}
}
