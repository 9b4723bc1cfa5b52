package afpacket

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
)

// maxFilterPorts is the most ports in a filter: the kernel accepts 4096 instructions, and each port
// needs 16. With more ports all TCP packets pass, and the others are discarded in user space.
const maxFilterPorts = 200

// Offsets in the headers of IP and TCP.
const (
	protocolIPv4     = 9
	fragmentIPv4     = 6
	nextHeaderIPv6   = 6
	sizeIPv6         = 40
	destinationPort  = 2
	tagVLAN          = 4 // size of a VLAN tag; the EtherType is its second half
	innerType        = 2
	fragmentOffset   = 0x1fff
	loopbackHardware = unix.ARPHRD_LOOPBACK
)

// filter returns the program that selects packets, and limits them to snap bytes. The packets begin
// with the IP header.
func filter(ports []uint16, interfaces []int, snap uint32) ([]bpf.RawInstruction, error) {
	accept := bpf.RetConstant{Val: snap}
	program := []bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtLinkLayerType}}
	program = append(program, whenEqual(loopbackHardware,
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 1},
		bpf.RetConstant{},
	)...)
	program = append(program, onInterfaces(interfaces)...)
	program = append(program, bpf.LoadExtension{Num: bpf.ExtProto})
	program = append(program, ip(0, ports, accept)...)
	tagged := append([]bpf.Instruction{bpf.LoadAbsolute{Off: innerType, Size: 2}}, ip(tagVLAN, ports, accept)...)
	tagged = append(tagged, bpf.RetConstant{})
	program = append(program,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: frame.TypeVLAN, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: frame.TypeQinQ, SkipTrue: 1},
		bpf.Jump{Skip: uint32(len(tagged))},
	)
	program = append(program, tagged...)
	program = append(program, bpf.RetConstant{})
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble filter: %w", err)
	}
	return raw, nil
}

// whenEqual runs body if the accumulator equals value. body may be longer than a conditional jump
// can skip.
func whenEqual(value uint32, body ...bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: 1},
		bpf.Jump{Skip: uint32(len(body))},
	}, body...)
}

// onInterfaces rejects packets of other interfaces; it rejects none if the list is empty.
func onInterfaces(interfaces []int) []bpf.Instruction {
	if len(interfaces) == 0 {
		return nil
	}
	program := []bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}}
	for i, index := range interfaces {
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(index), SkipTrue: 1},
			bpf.Jump{Skip: uint32(2*(len(interfaces)-i-1) + 1)},
		)
	}
	return append(program, bpf.RetConstant{})
}

// ip decides on IP packets. The accumulator holds the EtherType, and the IP header begins at the
// given offset.
func ip(at uint32, ports []uint16, accept bpf.RetConstant) []bpf.Instruction {
	ipv4 := []bpf.Instruction{
		bpf.LoadAbsolute{Off: at + protocolIPv4, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 1},
		bpf.RetConstant{},
		bpf.LoadAbsolute{Off: at + fragmentIPv4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: fragmentOffset, SkipTrue: 1},
		accept, // the ports are in the first fragment
		bpf.LoadMemShift{Off: at},
		bpf.LoadIndirect{Off: at, Size: 2},
	}
	ipv4 = append(ipv4, oneOf(ports, accept)...)
	ipv4 = append(ipv4, bpf.LoadIndirect{Off: at + destinationPort, Size: 2})
	ipv4 = append(ipv4, oneOf(ports, accept)...)
	ipv4 = append(ipv4, bpf.RetConstant{})

	tcp := []bpf.Instruction{bpf.LoadAbsolute{Off: at + sizeIPv6, Size: 2}}
	tcp = append(tcp, oneOf(ports, accept)...)
	tcp = append(tcp, bpf.LoadAbsolute{Off: at + sizeIPv6 + destinationPort, Size: 2})
	tcp = append(tcp, oneOf(ports, accept)...)
	tcp = append(tcp, bpf.RetConstant{})
	ipv6 := append([]bpf.Instruction{bpf.LoadAbsolute{Off: at + nextHeaderIPv6, Size: 1}}, whenEqual(unix.IPPROTO_TCP, tcp...)...)
	for _, header := range []uint32{unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_FRAGMENT, unix.IPPROTO_AH, unix.IPPROTO_DSTOPTS} {
		ipv6 = append(ipv6, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: header, SkipTrue: 1}, accept) // rare, so user space decides
	}
	ipv6 = append(ipv6, bpf.RetConstant{})
	return append(whenEqual(frame.TypeIPv4, ipv4...), whenEqual(frame.TypeIPv6, ipv6...)...)
}

// oneOf accepts the packet if the accumulator holds one of the ports.
func oneOf(ports []uint16, accept bpf.RetConstant) []bpf.Instruction {
	if len(ports) > maxFilterPorts {
		return []bpf.Instruction{accept}
	}
	var program []bpf.Instruction
	for _, port := range ports {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 1}, accept)
	}
	return program
}
