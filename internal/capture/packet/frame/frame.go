package frame

import (
	"encoding/binary"

	"github.com/gopacket/gopacket/layers"
)

// Verdict is the result of decoding a packet.
type Verdict uint8

// The verdicts. Only Whole sets the segment.
const (
	Whole       Verdict = iota // a TCP segment
	Other                      // not TCP over IP
	Pending                    // a fragment of an incomplete datagram
	Malformed                  // contradictory lengths
	Snapped                    // the capture cut off the headers, or a part of a fragment
	Unsupported                // an unsupported link type
)

// The flags of a segment.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// Segment is a TCP segment. IPv4 addresses are in their IPv4-mapped IPv6 form.
type Segment struct {
	Source, Destination         [16]byte
	SourcePort, DestinationPort uint16
	Seq, Ack                    uint32
	Flags                       uint8
	Urgent                      uint16 // with URG: offset behind Seq at which the urgent data ends; its last byte is urgent
	Payload                     []byte
	Missing                     uint32 // bytes at the end of the payload that the capture cut off
}

// Decoder finds segments, and reassembles fragmented ones.
type Decoder struct {
	fragments fragments
	tunnels   tunnels
}

// Decode decodes a packet that was length bytes long on the wire. time is that of its capture, in
// ns.
func (d *Decoder) Decode(link uint16, data []byte, length int, time int64, segment *Segment) Verdict {
	if link == linkEthernet && len(data) >= headerEthernet && plain(binary.BigEndian.Uint16(data[12:]), data[headerEthernet:], segment) {
		return Whole
	}
	ethertype, head, verdict := network(link, data)
	switch {
	case verdict == Unsupported:
		return d.link(link, data, length, time, segment)
	case verdict == Other && isSNAP(link, data):
		return d.tunnel(layers.LayerTypeEthernet, data, length-len(data), time, segment)
	}
	if verdict != Whole {
		if verdict == Snapped && length <= len(data) {
			return Malformed
		}
		return verdict
	}
	return d.ip(ethertype, data[head:], length-head, time, segment)
}

// DecodeIP decodes a packet without link header.
func (d *Decoder) DecodeIP(ethertype uint16, data []byte, length int, time int64, segment *Segment) Verdict {
	if plain(ethertype, data, segment) {
		return Whole
	}
	return d.ip(ethertype, data, length, time, segment)
}

func (d *Decoder) ip(ethertype uint16, data []byte, length int, time int64, segment *Segment) Verdict {
	for isVLAN(ethertype) {
		if len(data) < 4 {
			return short(data, length)
		}
		ethertype = binary.BigEndian.Uint16(data[2:])
		data, length = data[4:], length-4
	}
	switch ethertype {
	case TypeIPv4:
		return d.ipv4(data, length, time, segment)
	case TypeIPv6:
		return d.ipv6(data, length, time, segment)
	}
	if ethertype == typePPPoE {
		return d.pppoe(data, length, time, segment)
	}
	if isTunnelType(ethertype) {
		return d.tunnel(layers.EthernetType(ethertype).LayerType(), data, length-len(data), time, segment)
	}
	return Other
}

// isSNAP reports whether an Ethernet frame has a length in place of an EtherType, and the EtherType
// in a SNAP header behind it.
func isSNAP(link uint16, data []byte) bool {
	const snap = 0xaa
	return link == linkEthernet && len(data) > headerEthernet+8 && data[headerEthernet] == snap && data[headerEthernet+1] == snap
}

func isVLAN(ethertype uint16) bool {
	return ethertype == TypeVLAN || ethertype == TypeQinQ || ethertype == typeOldQinQ
}

// short returns the verdict on a packet that ends within its headers: Snapped if it was longer on
// the wire.
func short(data []byte, length int) Verdict {
	if length > len(data) {
		return Snapped
	}
	return Malformed
}

// network returns the EtherType and the length of the link header.
func network(link uint16, data []byte) (ethertype uint16, head int, verdict Verdict) {
	at := 0 // offset of the EtherType
	switch link {
	case linkEthernet:
		at, head = 12, headerEthernet
	case linkSLL:
		at, head = 14, 16
	case linkSLL2:
		at, head = 0, 20
	case linkNull, linkLoop:
		return loopback(data)
	case linkRaw, linkRawOld, linkRawBSD, linkRawIPv4, linkRawIPv6:
		return raw(data)
	default:
		return 0, 0, Unsupported
	}
	if len(data) < head {
		return 0, 0, Snapped
	}
	ethertype = binary.BigEndian.Uint16(data[at:])
	if ethertype < smallestType {
		return 0, 0, Other
	}
	return ethertype, head, Whole
}

// loopback decodes BSD's loopback header: the number of the address family, which for IPv6 depends
// on the system, in the byte order of the capturing machine or of the network.
func loopback(data []byte) (ethertype uint16, head int, verdict Verdict) {
	if len(data) < 4 {
		return 0, 0, Snapped
	}
	family := binary.LittleEndian.Uint32(data)
	if family > 0xffff {
		family = binary.BigEndian.Uint32(data)
	}
	switch family {
	case familyIPv4:
		return TypeIPv4, 4, Whole
	case familyIPv6BSD, familyIPv6FreeBSD, familyIPv6Darwin, familyIPv6Linux:
		return TypeIPv6, 4, Whole
	}
	return 0, 0, Other
}

func raw(data []byte) (ethertype uint16, head int, verdict Verdict) {
	if len(data) == 0 {
		return 0, 0, Snapped
	}
	switch data[0] >> 4 {
	case 4:
		return TypeIPv4, 0, Whole
	case 6:
		return TypeIPv6, 0, Whole
	}
	return 0, 0, Other
}
