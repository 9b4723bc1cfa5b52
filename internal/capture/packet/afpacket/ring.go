package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Packet is one packet.
type Packet struct {
	Time     int64  // nanoseconds since 1970
	Protocol uint16 // EtherType
	Length   int    // bytes on the wire, without the link header; more than len(Data) if it was cut off
	Data     []byte // from the IP header on; valid until the next call of Next
}

// Ring is a socket and the memory that it shares with the kernel: blocks that belong to either in turn.
type Ring struct {
	socket, wake      int
	interfaces        []int
	snap              uint32
	memory            []byte
	blockSize, blocks int

	block  int    // that is read, or will be next
	held   bool   // it is ours
	left   uint32 // packets in it that were not read
	offset uint32 // of the next of them
}

// Where a block says what it is.
const (
	offsetStatus  = unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr) + unsafe.Offsetof(unix.TpacketHdrV1{}.Block_status)
	offsetPackets = unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr) + unsafe.Offsetof(unix.TpacketHdrV1{}.Num_pkts)
	offsetFirst   = unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr) + unsafe.Offsetof(unix.TpacketHdrV1{}.Offset_to_first_pkt)
)

// offsetAddress is where a packet's link-layer address is, behind its header.
const offsetAddress = (unsafe.Sizeof(unix.Tpacket3Hdr{}) + unix.TPACKET_ALIGNMENT - 1) &^ (unix.TPACKET_ALIGNMENT - 1)

// Next reads a packet. It reports false if there is none in the ring.
func (r *Ring) Next(packet *Packet) bool {
	for r.left == 0 {
		if !r.turn() {
			return false
		}
	}
	at := r.block*r.blockSize + int(r.offset)
	header := (*unix.Tpacket3Hdr)(unsafe.Pointer(&r.memory[at]))
	r.left--
	r.offset += header.Next_offset
	start := at + int(header.Mac)
	packet.Time = int64(header.Sec)*1e9 + int64(header.Nsec)
	packet.Protocol = binary.BigEndian.Uint16(r.memory[at+int(offsetAddress)+int(unsafe.Offsetof(unix.RawSockaddrLinklayer{}.Protocol)):])
	packet.Length = int(header.Len)
	packet.Data = r.memory[start : start+int(header.Snaplen)]
	return true
}

// turn gives a block back that was read and takes the next. It reports false if that is still the kernel's.
func (r *Ring) turn() bool {
	if r.held {
		r.held = false
		atomic.StoreUint32(r.field(offsetStatus), unix.TP_STATUS_KERNEL)
		r.block = (r.block + 1) % r.blocks
	}
	if atomic.LoadUint32(r.field(offsetStatus))&unix.TP_STATUS_USER == 0 {
		return false
	}
	r.held = true
	r.left, r.offset = *r.field(offsetPackets), *r.field(offsetFirst)
	return true
}

// field returns a field of the description of the block.
func (r *Ring) field(offset uintptr) *uint32 {
	return (*uint32)(unsafe.Pointer(&r.memory[r.block*r.blockSize+int(offset)]))
}

// Wait returns when there may be packets, when Wake was called or when time is up.
func (r *Ring) Wait(timeout time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(r.socket), Events: unix.POLLIN}, {Fd: int32(r.wake), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, int(timeout.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for packets: %w", err)
	}
	if fds[0].Revents&unix.POLLERR != 0 {
		// An interface went down, which is no reason to end; the error has to be taken, or poll would return at once for ever.
		_, _ = unix.GetsockoptInt(r.socket, unix.SOL_SOCKET, unix.SO_ERROR)
	}
	if fds[1].Revents&unix.POLLIN != 0 {
		var count [8]byte
		_, _ = unix.Read(r.wake, count[:]) // it does not block, and there is nothing to learn from it
	}
	return nil
}

// Wake makes Wait return.
func (r *Ring) Wake() {
	one := binary.NativeEndian.AppendUint64(nil, 1)
	_, _ = unix.Write(r.wake, one) // it can only fail if it was woken already
}

// Dropped returns how many packets found no room in the ring since the last call.
func (r *Ring) Dropped() (uint64, error) {
	stats, err := unix.GetsockoptTpacketStatsV3(r.socket, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("read packet statistics: %w", err)
	}
	return uint64(stats.Drops), nil
}

// Release gives everything back. Packets read before are gone.
func (r *Ring) Release() {
	if r.memory != nil {
		_ = unix.Munmap(r.memory) // it was mapped, so that this cannot fail
		r.memory = nil
	}
	for _, fd := range []int{r.socket, r.wake} {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing was written that could be lost
		}
	}
	r.socket, r.wake = -1, -1
}
