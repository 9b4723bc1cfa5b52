package frame

import (
	"encoding/binary"
	"errors"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Everything but the plain cases is decoded by gopacket's layers: they find the innermost IP header,
// and what begins there is decoded like a packet without link header.

const (
	// maxHeaders is how many bytes of a packet gopacket sees where it allocates each layer: more than
	// any stack of headers has. It bounds how many it allocates.
	maxHeaders = 512
	// maxNested is how often what gopacket found may be a tunnel again.
	maxNested = 4
)

// tunnels decodes what gopacket has to.
type tunnels struct {
	parsers map[gopacket.LayerType]*gopacket.DecodingLayerParser // by the first layer
	ip4     layers.IPv4
	ip6     layers.IPv6
	other   []gopacket.DecodingLayer
	decoded []gopacket.LayerType
	nested  int
	packets uint64
}

// Tunnelled returns how many packets had their segment in a tunnel, or behind a link header that
// gopacket decoded.
func (d *Decoder) Tunnelled() uint64 { return d.tunnels.packets }

// udpTunnels are the ports of tunnels over UDP.
const (
	portGTP      = 2152
	portVXLAN    = 4789
	portGeneve   = 6081
	portOldVXLAN = 8472 // of Linux before the port was assigned
)

// isTunnel reports whether an IP protocol, with what follows the IP header, may carry IP packets.
func isTunnel(protocol uint8, payload []byte) bool {
	switch protocol {
	case protocolIPv4, protocolIPv6, protocolGRE, protocolEtherIP, protocolMPLS:
		return true
	case protocolUDP:
		if len(payload) < 4 {
			return false
		}
		switch binary.BigEndian.Uint16(payload[2:]) {
		case portGTP, portVXLAN, portGeneve, portOldVXLAN:
			return true
		}
	}
	return false
}

// isTunnelType reports whether an EtherType may carry IP packets behind headers of its own.
func isTunnelType(ethertype uint16) bool {
	switch ethertype {
	case typeMPLS, typeMPLSMulticast, typeTransparent:
		return true
	}
	return false
}

// tunnel decodes data that begins with a layer. missing is how many bytes behind it were cut off.
func (d *Decoder) tunnel(first gopacket.LayerType, data []byte, missing int, time int64, segment *Segment) Verdict {
	t := &d.tunnels
	if t.nested == maxNested {
		return Malformed
	}
	ethertype, at, found := t.innermost(first, data)
	if !found {
		if missing > 0 && len(data) < maxHeaders {
			return Snapped
		}
		return Other
	}
	t.nested++
	verdict := d.ip(ethertype, data[at:], len(data)-at+missing, time, segment)
	t.nested--
	if verdict == Whole && t.nested == 0 {
		t.packets++
	}
	return verdict
}

// innermost returns the offset of the innermost IP header, and its EtherType.
func (t *tunnels) innermost(first gopacket.LayerType, data []byte) (ethertype uint16, at int, found bool) {
	t.decoded = t.decoded[:0] // which a parser without a layer for the first type does not do
	err := t.parser(first).DecodeLayers(data, &t.decoded)
	var unsupported gopacket.UnsupportedLayerType
	if errors.As(err, &unsupported) && !isEnd(gopacket.LayerType(unsupported)) {
		return wholePacket(first, data[:min(len(data), maxHeaders)])
	}
	for i := len(t.decoded) - 1; i >= 0; i-- {
		switch t.decoded[i] {
		case layers.LayerTypeIPv4:
			return TypeIPv4, cap(data) - cap(t.ip4.Contents), true
		case layers.LayerTypeIPv6:
			return TypeIPv6, cap(data) - cap(t.ip6.Contents), true
		}
	}
	return 0, 0, false
}

// isEnd reports whether nothing that matters follows a layer.
func isEnd(layer gopacket.LayerType) bool {
	switch layer {
	case layers.LayerTypeTCP, gopacket.LayerTypePayload, gopacket.LayerTypeFragment, layers.LayerTypeICMPv4, layers.LayerTypeICMPv6, layers.LayerTypeARP,
		layers.LayerTypeIPv6HopByHop, layers.LayerTypeIPv6Routing, layers.LayerTypeIPv6Destination, layers.LayerTypeIPv6Fragment, layers.LayerTypeIPSecAH:
		return true
	}
	return false
}

// parser returns the parser for a first layer. All share the layers, so that what a layer holds is
// what was decoded last: the innermost of its type.
func (t *tunnels) parser(first gopacket.LayerType) *gopacket.DecodingLayerParser {
	if p := t.parsers[first]; p != nil {
		return p
	}
	if t.parsers == nil {
		t.parsers = map[gopacket.LayerType]*gopacket.DecodingLayerParser{}
		t.other = []gopacket.DecodingLayer{
			&t.ip4, &t.ip6, new(layers.Ethernet), new(layers.Dot1Q), new(layers.UDP), new(layers.GRE), new(layers.VXLAN),
			new(layers.Geneve), new(layers.EtherIP), new(layers.ERSPANII), new(erspanIII), new(layers.GTPv1U),
		}
	}
	p := gopacket.NewDecodingLayerParser(first, t.other...)
	t.parsers[first] = p
	return p
}

// wholePacket is innermost for layers that gopacket cannot decode into place.
func wholePacket(first gopacket.Decoder, headers []byte) (ethertype uint16, at int, found bool) {
	packet := gopacket.NewPacket(headers, first, gopacket.DecodeOptions{NoCopy: true})
	all := packet.Layers()
	for i := len(all) - 1; i >= 0; i-- {
		contents := all[i].LayerContents()
		if len(contents) == 0 {
			continue // a header that could not be decoded
		}
		switch all[i].LayerType() {
		case layers.LayerTypeIPv4:
			return TypeIPv4, cap(headers) - cap(contents), true
		case layers.LayerTypeIPv6:
			return TypeIPv6, cap(headers) - cap(contents), true
		}
	}
	return 0, 0, false
}

// pppoe skips the headers of PPPoE and PPP. gopacket refuses packets that the capture cut off.
func (d *Decoder) pppoe(data []byte, length int, time int64, segment *Segment) Verdict {
	const header, session = 6, 0x1100 // version, type and code
	if len(data) < header+2 {
		return short(data, length)
	}
	if binary.BigEndian.Uint16(data) != session {
		return Malformed
	}
	protocol, at := uint16(data[header]), header+1
	if protocol&1 == 0 { // not compressed
		protocol, at = binary.BigEndian.Uint16(data[header:]), header+2
	}
	ethertype := uint16(TypeIPv4)
	switch protocol {
	case pppIPv4:
	case pppIPv6:
		ethertype = TypeIPv6
	default:
		return Other
	}
	verdict := d.ip(ethertype, data[at:], length-at, time, segment)
	if verdict == Whole {
		d.tunnels.packets++
	}
	return verdict
}

// link decodes a packet of a link type that network does not know.
func (d *Decoder) link(link uint16, data []byte, length int, time int64, segment *Segment) Verdict {
	if int(link) >= len(layers.LinkTypeMetadata) || layers.LinkTypeMetadata[link].DecodeWith == nil || !isKnown(link) {
		return Unsupported
	}
	ethertype, at, found := wholePacket(layers.LinkTypeMetadata[link].DecodeWith, data[:min(len(data), maxHeaders)])
	if !found {
		return Other
	}
	verdict := d.ip(ethertype, data[at:], length-at, time, segment)
	if verdict == Whole {
		d.tunnels.packets++
	}
	return verdict
}

// isKnown reports whether gopacket has a decoder for a link type.
func isKnown(link uint16) bool {
	switch link {
	case linkPPP, linkFDDI, linkIEEE80211, linkPFLog, linkPrism, linkRadiotap:
		return true
	}
	return false
}

// erspanIII is the header of ERSPAN type III, which gopacket does not decode
// (draft-foschiano-erspan-03, section 4.3).
type erspanIII struct {
	layers.BaseLayer
	next gopacket.LayerType
}

const (
	typeERSPANIII    = 0x22eb
	headerERSPANIII  = 12
	trailerERSPANIII = 8 // the platform specific subheader
	frameIP          = 2 // the mirrored frame has no link header
)

var layerERSPANIII = gopacket.RegisterLayerType(2000, gopacket.LayerTypeMetadata{
	Name: "ERSPAN Type III", Decoder: gopacket.DecodeFunc(decodeERSPANIII),
})

func init() {
	layers.EthernetTypeMetadata[typeERSPANIII] = layers.EnumMetadata{
		DecodeWith: gopacket.DecodeFunc(decodeERSPANIII), Name: "ERSPAN Type III", LayerType: layerERSPANIII,
	}
	layers.RegisterUDPPortLayerType(portOldVXLAN, layers.LayerTypeVXLAN)
}

var errShort = errors.New("header is too short")

// LayerType implements gopacket.Layer.
func (*erspanIII) LayerType() gopacket.LayerType { return layerERSPANIII }

// CanDecode implements gopacket.DecodingLayer.
func (*erspanIII) CanDecode() gopacket.LayerClass { return layerERSPANIII }

// NextLayerType implements gopacket.DecodingLayer.
func (e *erspanIII) NextLayerType() gopacket.LayerType { return e.next }

// DecodeFromBytes implements gopacket.DecodingLayer.
func (e *erspanIII) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	size := headerERSPANIII
	if len(data) >= size && data[11]&1 != 0 {
		size += trailerERSPANIII
	}
	if len(data) < size {
		df.SetTruncated()
		return errShort
	}
	e.Contents, e.Payload = data[:size], data[size:]
	e.next = layers.LayerTypeEthernet
	if data[10]>>2&31 == frameIP && len(e.Payload) > 0 {
		e.next = layers.LayerTypeIPv4
		if e.Payload[0]>>4 == 6 {
			e.next = layers.LayerTypeIPv6
		}
	}
	return nil
}

func decodeERSPANIII(data []byte, p gopacket.PacketBuilder) error {
	e := new(erspanIII)
	if err := e.DecodeFromBytes(data, p); err != nil {
		return err
	}
	p.AddLayer(e)
	return p.NextDecoder(e.next)
}
