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

// lane reads in place what one processor wrote of one direction (lane.h).
type lane struct {
	produced  *uint64 // position behind the newest event
	consumed  *uint64 // position up to which the probes may overwrite
	events    []byte  // as many bytes as positions differ by after a turn, and the slack
	mask      uint64
	position  uint64 // of the next event
	published uint64 // what *consumed holds
}

// largestLane is what a lane takes at most: what a busy processor writes between two turns, and little enough for all to stay in its cache.
const largestLane = 128 << 10

// lanesHere returns how many lanes there are on this machine, and the bytes of each: together they take no more than the ring. The size is 0
// on processors that may reorder stores, because the programs of older kernels cannot forbid that.
func lanesHere(ringSize uint32) (lanes, size uint32, err error) {
	processors, err := ebpf.PossibleCPU()
	if err != nil {
		return 0, 0, fmt.Errorf("count processors: %w", err)
	}
	lanes = 2 * uint32(processors)
	if runtime.GOARCH != "amd64" {
		return lanes, 0, nil
	}
	size = min(ringSize/lanes, largestLane)
	if size < uint32(os.Getpagesize()) {
		return lanes, 0, nil
	}
	return lanes, 1 << (bits.Len32(size) - 1), nil
}

// mapLanes returns the lanes of a map, and its memory.
func mapLanes(m *ebpf.Map) ([]lane, []byte, error) {
	stride := int(m.ValueSize())
	memory, err := unix.Mmap(m.FD(), 0, stride*int(m.MaxEntries()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map lanes: %w", err)
	}
	lanes := make([]lane, m.MaxEntries())
	for i := range lanes {
		lanes[i] = newLane(memory[i*stride : (i+1)*stride])
	}
	return lanes, memory, nil
}

func newLane(memory []byte) lane {
	head := (*observerLane)(unsafe.Pointer(&memory[0]))
	events := memory[unsafe.Sizeof(*head):]
	return lane{
		produced: &head.Produced,
		consumed: &head.Consumed,
		events:   events,
		mask:     uint64(len(events) - int(observerLaneSlackLANE_SLACK) - 1),
	}
}

// laneBytes returns what a lane with that many bytes of events takes in its map.
func laneBytes(size uint32) uint32 {
	return uint32(unsafe.Sizeof(observerLane{})) + size + uint32(observerLaneSlackLANE_SLACK)
}

// end returns the position behind the newest event. Atomic, because the probes write it after the event.
func (l *lane) end() uint64 { return atomic.LoadUint64(l.produced) }

// event returns the next event, of which there must be one.
func (l *lane) event() *Event { return (*Event)(unsafe.Pointer(&l.events[l.position&l.mask])) }

// read returns the next event, of which there must be one, and its payload.
func (l *lane) read() (*Event, []byte) {
	event := l.event()
	start := l.position&l.mask + uint64(payloadStart(event))
	return event, l.events[start : start+uint64(event.Len)]
}

// skip goes on behind the next event.
func (l *lane) skip() {
	event := l.event()
	l.position += uint64(payloadStart(event)) + (uint64(event.Len)+7)&^7
	if l.position-l.published > l.mask/4 {
		l.publish()
	}
}

// publish gives the room of what was skipped back.
func (l *lane) publish() {
	if l.published != l.position {
		atomic.StoreUint64(l.consumed, l.position)
		l.published = l.position
	}
}
