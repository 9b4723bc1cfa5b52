package afpacket

import (
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Options are the settings of Open.
type Options struct {
	Ports         []uint16
	Interfaces    []string      // all interfaces if empty
	RingSize      int           // bytes, a power of two and a multiple of the page size
	FlushInterval time.Duration // the longest that a packet waits in the ring
	SnapLength    int           // bytes kept of a packet
}

const (
	minBlocks    = 4
	minBlockSize = 128 << 10
	maxBlockSize = 256 << 10 // longer than any packet except those of BIG TCP, which are cut off
	frameSize    = 2048      // has no effect in TPACKET_V3, but the kernel checks it
)

// allProtocols is ETH_P_ALL in network byte order. Other protocols do not show outgoing packets.
const allProtocols = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8

// Open starts a capture. The caller must Release the Ring.
func Open(options Options) (r *Ring, err error) {
	interfaces, err := indexes(options.Interfaces)
	if err != nil {
		return nil, err
	}
	// Protocol 0, so that no packet is received before the filter is attached.
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w (%s)", err, remedy(err))
	}
	r = &Ring{socket: socket, wake: -1, interfaces: interfaces, snap: uint32(min(options.SnapLength, math.MaxInt32))}
	defer func() {
		if err != nil {
			r.Release()
		}
	}()
	if r.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	if err := r.SetPorts(options.Ports); err != nil {
		return nil, err
	}
	if err := r.mapRing(options.RingSize, options.FlushInterval); err != nil {
		return nil, err
	}
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: allProtocols}); err != nil {
		return nil, fmt.Errorf("bind packet socket: %w", err)
	}
	return r, nil
}

func remedy(err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return "needs the capability CAP_NET_RAW"
	case errors.Is(err, unix.EAFNOSUPPORT):
		return "needs a kernel with CONFIG_PACKET; the module is af_packet"
	}
	return "see packet(7)"
}

func indexes(names []string) ([]int, error) {
	var indexes []int
	for _, name := range names {
		found, err := net.InterfaceByName(name)
		if err != nil {
			return nil, fmt.Errorf("look up interface %q: %w (see capture.interfaces; `ip link` lists those of this network namespace)", name, err)
		}
		indexes = append(indexes, found.Index)
	}
	return indexes, nil
}

// blockSize returns the size of a block in bytes. The kernel hands over a block after the flush
// interval even if it is almost empty, so a ring of many small blocks tolerates a reader that is
// not scheduled for many intervals. A block has room for two of the longest packets, because
// otherwise half of the ring could stay empty.
func blockSize(ring, snap int) int {
	size := minBlockSize
	for size < 2*snap && size < maxBlockSize {
		size *= 2
	}
	return min(size, ring/minBlocks)
}

func (r *Ring) mapRing(size int, flush time.Duration) error {
	if err := unix.SetsockoptInt(r.socket, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("select TPACKET_V3: %w (needs Linux >= 3.2)", err)
	}
	r.blockSize = blockSize(size, int(r.snap))
	r.blocks = size / r.blockSize
	request := unix.TpacketReq3{
		Block_size:     uint32(r.blockSize),
		Block_nr:       uint32(r.blocks),
		Frame_size:     frameSize,
		Frame_nr:       uint32(size / frameSize),
		Retire_blk_tov: uint32(max(1, flush.Milliseconds())),
	}
	if err := unix.SetsockoptTpacketReq3(r.socket, unix.SOL_PACKET, unix.PACKET_RX_RING, &request); err != nil {
		return fmt.Errorf("create packet ring of %d bytes: %w (lower capture.ring_size)", size, err)
	}
	memory, err := unix.Mmap(r.socket, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map packet ring of %d bytes: %w (lower capture.ring_size)", size, err)
	}
	r.memory = memory
	return nil
}

// SetPorts replaces the observed ports.
func (r *Ring) SetPorts(ports []uint16) error {
	program, err := filter(ports, r.interfaces, r.snap)
	if err != nil {
		return err
	}
	return r.attach(program)
}

// Stop ends the capture. The packets in the ring remain; the last ones arrive within the flush
// interval.
func (r *Ring) Stop() error {
	return r.attach([]bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K}})
}

func (r *Ring) attach(program []bpf.RawInstruction) error {
	instructions := make([]unix.SockFilter, len(program))
	for i, in := range program {
		instructions[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(instructions)), Filter: &instructions[0]}
	if err := unix.SetsockoptSockFprog(r.socket, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		return fmt.Errorf("attach packet filter of %d instructions: %w", len(instructions), err)
	}
	return nil
}
