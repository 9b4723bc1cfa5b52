package frame

import "encoding/binary"

// Verdict says what a packet turned out to be.
type Verdict uint8

// The verdicts. Only with Whole is the segment set.
const (
	Whole       Verdict = iota // a TCP segment
	Other                      // no TCP, or no IP
	Pending                    // a fragment; the others are awaited
	Malformed                  // lengths that contradict each other
	Snapped                    // the capture did not even keep the headers, or not all of a fragment
	Unsupported                // a link type that is not known
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
	Urgent                      uint16 // with URG: how far behind Seq the urgent data ends, of which the last byte is urgent
	Payload                     []byte
	Missing                     uint32 // bytes of the payload that the capture did not keep
}

// Supported reports whether packets of a link type are understood.
func Supported(link uint16) bool {
	_, _, verdict := network(link, make([]byte, 64))
	return verdict != Unsupported
}

// Decoder finds segments, and keeps the fragments of those that came in pieces.
type Decoder struct {
	fragments fragments
}

// Decode finds the segment in a packet that was length bytes long on the wire. The time is that of the capture.
func (d *Decoder) Decode(link uint16, data []byte, length int, time int64, segment *Segment) Verdict {
	if link == linkEthernet && len(data) >= headerEthernet && plain(binary.BigEndian.Uint16(data[12:]), data[headerEthernet:], segment) {
		return Whole
	}
	ethertype, head, verdict := network(link, data)
	if verdict != Whole {
		if verdict == Snapped && length <= len(data) {
			return Malformed
		}
		return verdict
	}
	return d.ip(ethertype, data[head:], length-head, time, segment)
}

// DecodeIP finds the segment in a packet without its link header.
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
	return Other
}

func isVLAN(ethertype uint16) bool {
	return ethertype == TypeVLAN || ethertype == TypeQinQ || ethertype == typeOldQinQ
}

// short is the verdict on a packet that ends within its headers: it is the capture's fault if the packet was longer.
func short(data []byte, length int) Verdict {
	if length > len(data) {
		return Snapped
	}
	return Malformed
}

// network returns the EtherType of what follows the link header, and the length of that header.
func network(link uint16, data []byte) (ethertype uint16, head int, verdict Verdict) {
	at := 0 // of the EtherType
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

// loopback reads the header of BSD's loopback: the number of the address family, which differs for IPv6 between the systems,
// in the byte order of the machine that captured or in that of the network.
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
