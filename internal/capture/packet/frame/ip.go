package frame

import (
	"encoding/binary"

	"github.com/gopacket/gopacket/layers"
)

const (
	headerEthernet = 14
	headerIPv4     = 20 // without options
	headerIPv6     = 40
	headerTCP      = 20     // without options
	maxExtension   = 8      // extension headers between IPv6 and TCP
	offsetFragment = 0x1fff // offset bits
	anyFragment    = 0x3fff // flag and offset bits: the packet is a fragment
)

// plain decodes the common case: a whole IPv4 packet without options that was not cut off. It
// returns false for any other packet, which ip decodes step by step.
func plain(ethertype uint16, data []byte, segment *Segment) bool {
	if ethertype != TypeIPv4 || len(data) < headerIPv4+headerTCP {
		return false
	}
	ip := (*[headerIPv4 + headerTCP]byte)(data)
	total := int(binary.BigEndian.Uint16(ip[2:]))
	header := headerIPv4 + int(ip[32]>>4)*4
	if ip[0] != 4<<4|headerIPv4/4 || ip[9] != protocolTCP || binary.BigEndian.Uint16(ip[6:])&anyFragment != 0 ||
		header < headerIPv4+headerTCP || header > total || total > len(data) {
		return false
	}
	mapIPv4(&segment.Source, ip[12:16])
	mapIPv4(&segment.Destination, ip[16:20])
	segment.SourcePort = binary.BigEndian.Uint16(ip[20:])
	segment.DestinationPort = binary.BigEndian.Uint16(ip[22:])
	segment.Seq = binary.BigEndian.Uint32(ip[24:])
	segment.Ack = binary.BigEndian.Uint32(ip[28:])
	segment.Flags = ip[33]
	segment.Urgent = binary.BigEndian.Uint16(ip[38:])
	segment.Missing = 0
	segment.Payload = data[header:total]
	return true
}

func (d *Decoder) ipv4(data []byte, length int, time int64, segment *Segment) Verdict {
	if len(data) < headerIPv4 {
		return short(data, length)
	}
	header := int(data[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(data[2:]))
	if total == 0 {
		total = length // 0 before the network card splits the packet (segmentation offload)
	}
	if data[0]>>4 != 4 || header < headerIPv4 || total < header {
		return Malformed
	}
	length = max(length, total) // a longer packet was sliced before the capture saw it
	if len(data) < header {
		return short(data, length)
	}
	missing := max(0, total-len(data))
	payload := data[header:min(total, len(data))]
	protocol, where := data[9], binary.BigEndian.Uint16(data[6:])
	if protocol != protocolTCP && (where&anyFragment == 0 || where&offsetFragment == 0) && !isTunnel(protocol, payload) {
		return Other
	}
	mapIPv4(&segment.Source, data[12:16])
	mapIPv4(&segment.Destination, data[16:20])
	if where&anyFragment != 0 {
		return d.fragment(fragment{
			id: uint32(binary.BigEndian.Uint16(data[4:])), protocol: protocol, offset: int(where&offsetFragment) * 8, more: where&0x2000 != 0,
			data: payload, missing: missing,
		}, time, segment)
	}
	return d.transport(protocol, payload, missing, time, segment)
}

// transport decodes what follows the headers of IP: a segment, or a tunnel.
func (d *Decoder) transport(protocol uint8, data []byte, missing int, time int64, segment *Segment) Verdict {
	if protocol == protocolTCP {
		return tcp(data, missing, segment)
	}
	return d.tunnel(layers.IPProtocol(protocol).LayerType(), data, missing, time, segment)
}

// mapIPv4 writes an address as two words, because it is compared in words: a CPU cannot forward
// narrower stores to a wider load.
func mapIPv4(to *[16]byte, address []byte) {
	binary.LittleEndian.PutUint64(to[:8], 0)
	binary.LittleEndian.PutUint64(to[8:], 0xffff<<16|uint64(binary.LittleEndian.Uint32(address))<<32)
}

func (d *Decoder) ipv6(data []byte, length int, time int64, segment *Segment) Verdict {
	if len(data) < headerIPv6 {
		return short(data, length)
	}
	total := headerIPv6 + int(binary.BigEndian.Uint16(data[4:]))
	if total == headerIPv6 {
		total = length // a jumbogram, or as above
	}
	if data[0]>>4 != 6 {
		return Malformed
	}
	copy(segment.Source[:], data[8:24])
	copy(segment.Destination[:], data[24:40])
	missing := max(0, total-len(data))
	rest := data[headerIPv6:min(total, len(data))]
	next := data[6]
	if next == protocolTCP {
		return tcp(rest, missing, segment)
	}
	return d.extensions(next, rest, missing, time, segment)
}

// extensions skips the extension headers between IPv6 and TCP.
func (d *Decoder) extensions(next uint8, rest []byte, missing int, time int64, segment *Segment) Verdict {
	for range maxExtension {
		if next == protocolTCP || isTunnel(next, rest) {
			return d.transport(next, rest, missing, time, segment)
		}
		size := 8
		if len(rest) < size {
			return short(rest, len(rest)+missing)
		}
		switch next {
		case protocolHopByHop, protocolRouting, protocolDestination:
			size += int(rest[1]) * 8
		case protocolAH:
			size += int(rest[1]) * 4
		case protocolFragment:
			where := binary.BigEndian.Uint16(rest[2:])
			if where&^6 == 0 { // an unfragmented packet with a fragment header
				break
			}
			protocol := rest[0]
			if protocol != protocolTCP && int(where&^7) == 0 && !isTunnel(protocol, rest[size:]) {
				return Other
			}
			return d.fragment(fragment{
				id: binary.BigEndian.Uint32(rest[4:]), protocol: protocol, offset: int(where &^ 7), more: where&1 != 0, data: rest[size:], missing: missing,
			}, time, segment)
		default:
			return Other
		}
		if len(rest) < size {
			return short(rest, len(rest)+missing)
		}
		next, rest = rest[0], rest[size:]
	}
	return Malformed
}

// tcp decodes a segment whose last bytes may be missing.
func tcp(data []byte, missing int, segment *Segment) Verdict {
	if len(data) < headerTCP {
		return short(data, len(data)+missing)
	}
	header := int(data[12]>>4) * 4
	if header < headerTCP || header > len(data)+missing {
		return Malformed
	}
	segment.SourcePort = binary.BigEndian.Uint16(data)
	segment.DestinationPort = binary.BigEndian.Uint16(data[2:])
	segment.Seq = binary.BigEndian.Uint32(data[4:])
	segment.Ack = binary.BigEndian.Uint32(data[8:])
	segment.Flags = data[13]
	segment.Urgent = binary.BigEndian.Uint16(data[18:])
	segment.Missing = uint32(missing)
	segment.Payload = nil
	if header <= len(data) {
		segment.Payload = data[header:]
	} else {
		segment.Missing -= uint32(header - len(data)) // options
	}
	return Whole
}
