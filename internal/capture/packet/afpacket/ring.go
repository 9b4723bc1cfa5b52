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
	Length   int    // bytes on the wire, without the link header; more than len(Data) if the packet was cut off
	Data     []byte // from the IP header on; valid until the next call of Next
}

// Ring is a socket and the memory that it shares with the kernel: blocks that the kernel and the
// reader own in turn.
type Ring struct {
	socket, wake      int
	interfaces        []int
	snap              uint32
	memory            []byte
	blockSize, blocks int

	block  int    // index of the current or the next block
	held   bool   // the reader owns the block
	left   uint32 // packets left in it
	offset uint32 // of the next packet in it
}

// Offsets of the fields in the header of a block.
const (
	offsetStatus  = unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr) + unsafe.Offsetof(unix.TpacketHdrV1{}.Block_status)
	offsetPackets = unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr) + unsafe.Offsetof(unix.TpacketHdrV1{}.Num_pkts)
	offsetFirst   = unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr) + unsafe.Offsetof(unix.TpacketHdrV1{}.Offset_to_first_pkt)
)

// offsetAddress is the offset of a packet's link-layer address.
const offsetAddress = (unsafe.Sizeof(unix.Tpacket3Hdr{}) + unix.TPACKET_ALIGNMENT - 1) &^ (unix.TPACKET_ALIGNMENT - 1)

// Next reads the next packet. It returns false if the ring is empty.
func (r *Ring) Next(packet *Packet) bool {
	for r.left == 0 {
		if !r.advance() {
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

// advance returns the block that was read to the kernel, and takes the next one. It returns false
// if the kernel still owns that.
func (r *Ring) advance() bool {
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

// field returns a field in the header of the current block.
func (r *Ring) field(offset uintptr) *uint32 {
	return (*uint32)(unsafe.Pointer(&r.memory[r.block*r.blockSize+int(offset)]))
}

// Wait returns when there may be packets, after Wake, or after the timeout.
func (r *Ring) Wait(timeout time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(r.socket), Events: unix.POLLIN}, {Fd: int32(r.wake), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, int(timeout.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for packets: %w", err)
	}
	if fds[0].Revents&unix.POLLERR != 0 {
		// An interface went down, which does not end the capture. Read the error, or poll would
		// return at once.
		_, _ = unix.GetsockoptInt(r.socket, unix.SOL_SOCKET, unix.SO_ERROR)
	}
	if fds[1].Revents&unix.POLLIN != 0 {
		var count [8]byte
		_, _ = unix.Read(r.wake, count[:]) // never blocks; the value is not needed
	}
	return nil
}

// Wake ends the current or the next Wait.
func (r *Ring) Wake() {
	one := binary.NativeEndian.AppendUint64(nil, 1)
	_, _ = unix.Write(r.wake, one) // fails only if it is signalled already
}

// Dropped returns how many packets were dropped since the last call, because the ring had no room.
func (r *Ring) Dropped() (uint64, error) {
	stats, err := unix.GetsockoptTpacketStatsV3(r.socket, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("read packet statistics: %w", err)
	}
	return uint64(stats.Drops), nil
}

// Release frees the memory and closes the socket. Packets read before are invalid then.
func (r *Ring) Release() {
	if r.memory != nil {
		_ = unix.Munmap(r.memory) // cannot fail for mapped memory
		r.memory = nil
	}
	for _, fd := range []int{r.socket, r.wake} {
		if fd >= 0 {
			_ = unix.Close(fd) // no written data can be lost
		}
	}
	r.socket, r.wake = -1, -1
}
