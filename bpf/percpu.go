package bpf

import (
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
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
// bytes. Together they are no larger than the ring buffer. A CPU that comes online later has none,
// and writes to the ring buffer: machines that can have many more CPUs than they have are common,
// and each ring takes memory and a look in each drain. The size is 0 where a program cannot say that
// an event is complete (store_release in compat.h).
func percpuRingsHere(ringSize uint32) (rings, size uint32, err error) {
	processors, err := onlineProcessors("/sys/devices/system/cpu/online")
	if err != nil {
		return 0, 0, fmt.Errorf("count CPUs: %w", err)
	}
	rings = 2 * processors
	if !releasesStores() {
		return rings, 0, nil
	}
	size = min(ringSize/rings, maxPercpuRing)
	if size < uint32(os.Getpagesize()) {
		return rings, 0, nil
	}
	return rings, 1 << (bits.Len32(size) - 1), nil
}

// onlineProcessors returns one more than the highest number of a CPU in a list of ranges, for example
// 0-3,8.
func onlineProcessors(list string) (uint32, error) {
	text, err := os.ReadFile(list)
	if err != nil {
		return 0, err
	}
	ranges := strings.FieldsFunc(strings.TrimSpace(string(text)), func(r rune) bool { return r == ',' || r == '-' })
	if len(ranges) == 0 {
		return 0, fmt.Errorf("%s is empty", list)
	}
	last, err := strconv.ParseUint(ranges[len(ranges)-1], 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", list, err)
	}
	return uint32(last) + 1, nil
}

// releasesStores reports whether programs can store behind all that they stored before. amd64 always
// does; arm64 needs an exchange.
var releasesStores = sync.OnceValue(func() bool { return runtime.GOARCH == "amd64" || compilesExchanges() })

// compilesExchanges reports whether programs can exchange (Linux 5.12) and are compiled to machine code
// all the same (on arm64 5.18): a kernel that has to interpret one program interprets it each time.
func compilesExchanges() bool {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "Dual BSD/GPL", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R0, 0),
		asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
		asm.Xchg.Mem(asm.RFP, asm.R0, asm.DWord, -8),
		asm.Return(),
	}})
	if err != nil {
		return false
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return false
	}
	_, err = info.JitedSize()
	return err == nil
}

// storesWithoutRelease replaces the exchanges of 64 bits by stores. Kernels without exchanges refuse
// programs that have one, even where it is not reached.
func storesWithoutRelease(spec *ebpf.CollectionSpec) {
	for _, program := range spec.Programs {
		for i := range program.Instructions {
			if instruction := &program.Instructions[i]; instruction.OpCode == asm.Xchg.OpCode(asm.DWord) {
				*instruction = asm.StoreMem(instruction.Dst, instruction.Offset, instruction.Src, asm.DWord).
					WithMetadata(instruction.Metadata)
			}
		}
	}
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
