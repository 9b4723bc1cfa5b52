package frame

import (
	"encoding/binary"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
)

// outer4 and outer6 are the headers of a tunnel's packets.
func outer4(protocol layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2}}
}

func outer6(protocol layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
}

func ethernet(of layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: of}
}

func udp(port layers.UDPPort, ip gopacket.NetworkLayer) *layers.UDP {
	u := &layers.UDP{SrcPort: 51000, DstPort: port}
	_ = u.SetNetworkLayerForChecksum(ip) // it takes any IP layer
	return u
}

// raw is a header that the encoder does not know.
func head(b ...byte) gopacket.Payload { return b }

type tunnelTest struct {
	name string
	link uint16
	data []byte
}

// tunnelTests are a segment in each kind of tunnel.
func tunnelTests(tb testing.TB) []tunnelTest {
	tb.Helper()
	frame := func(v6 bool) gopacket.Payload {
		c := capturetest.New()
		c.IPv6 = v6
		return c.Frame(true, segment(), []byte(payload))
	}
	v4, v6 := gopacket.Payload(ip(tb, false)), gopacket.Payload(ip(tb, true))
	o4, o6 := outer4(layers.IPProtocolUDP), outer6(layers.IPProtocolUDP)
	in4, in6 := ethernet(layers.EthernetTypeIPv4), ethernet(layers.EthernetTypeIPv6)
	vlan := &layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeIPv4}
	taggedInner := gopacket.Payload(capturetest.Serialize(ethernet(layers.EthernetTypeDot1Q), vlan, v4))
	vxlan := &layers.VXLAN{ValidIDFlag: true, VNI: 77}
	geneve := head(0, 0, 0x65, 0x58, 0, 0, 77, 0)
	geneveOptions := head(2, 0, 0x65, 0x58, 0, 0, 77, 0, 1, 2, 3, 1, 9, 9, 9, 9)
	geneveIP := head(0, 0, 0x08, 0x00, 0, 0, 77, 0)
	gre := func(of layers.EthernetType) *layers.GRE { return &layers.GRE{Protocol: of} }
	keyed := &layers.GRE{Protocol: layers.EthernetTypeTransparentEthernetBridging, KeyPresent: true, Key: 77 << 8}
	sequenced := func(of layers.EthernetType) *layers.GRE { return &layers.GRE{Protocol: of, SeqPresent: true, Seq: 3} }
	mpls := &layers.MPLS{Label: 99, StackBottom: true, TTL: 64}
	mplsTop := &layers.MPLS{Label: 98, TTL: 64}
	pppoe := func(n int) *layers.PPPoE {
		return &layers.PPPoE{Version: 1, Type: 1, SessionId: 3, Length: uint16(n + 2)}
	}
	four, six := outer4(layers.IPProtocolIPv4), outer4(layers.IPProtocolIPv6)
	build := capturetest.Serialize
	return []tunnelTest{
		{"VXLAN", 1, build(in4, o4, udp(4789, o4), vxlan, frame(false))},
		{"VXLAN of IPv6 in IPv6", 1, build(in6, o6, udp(4789, o6), vxlan, frame(true))},
		{"VXLAN, old port", 1, build(in4, o4, udp(8472, o4), vxlan, frame(false))},
		{"VXLAN of VLAN", 1, build(in4, o4, udp(4789, o4), vxlan, taggedInner)},
		{"VXLAN, cooked", 276, append(append(binary.BigEndian.AppendUint16(nil, 0x0800), make([]byte, 18)...), build(o4, udp(4789, o4), vxlan, frame(false))...)},
		{"GENEVE", 1, build(in4, o4, udp(6081, o4), geneve, frame(false))},
		{"GENEVE with options", 1, build(in4, o4, udp(6081, o4), geneveOptions, frame(true))},
		{"GENEVE of IP", 1, build(in4, o4, udp(6081, o4), geneveIP, v4)},
		{"GRE", 1, build(in4, outer4(layers.IPProtocolGRE), gre(layers.EthernetTypeIPv4), v4)},
		{"GRE of IPv6 in IPv6", 1, build(in6, outer6(layers.IPProtocolGRE), gre(layers.EthernetTypeIPv6), v6)},
		{"NVGRE", 1, build(in4, outer4(layers.IPProtocolGRE), keyed, frame(false))},
		{"ERSPAN I", 1, build(in4, outer4(layers.IPProtocolGRE), gre(layers.EthernetTypeERSPAN), frame(false))},
		{"ERSPAN II", 1, build(in4, outer4(layers.IPProtocolGRE), sequenced(layers.EthernetTypeERSPAN), head(0x10, 5, 0, 7, 0, 0, 0, 1), frame(false))},
		{"ERSPAN III", 1, build(in4, outer4(layers.IPProtocolGRE), sequenced(0x22eb), head(0x20, 5, 0, 7, 1, 2, 3, 4, 0, 0, 0, 0), frame(false))},
		{"ERSPAN III with a subheader", 1, build(in4, outer4(layers.IPProtocolGRE), sequenced(0x22eb), head(0x20, 5, 0, 7, 1, 2, 3, 4, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9), frame(true))},
		{"ERSPAN III of IP", 1, build(in4, outer4(layers.IPProtocolGRE), sequenced(0x22eb), head(0x20, 5, 0, 7, 1, 2, 3, 4, 0, 0, 2<<2, 0), v6)},
		{"IP in IP", 1, build(in4, four, v4)},
		{"6in4", 1, build(in4, six, v6)},
		{"IPv4 in IPv6", 1, build(in6, outer6(layers.IPProtocolIPv4), v4)},
		{"IP in IP in IP", 101, build(outer4(layers.IPProtocolIPv4), outer4(layers.IPProtocolIPv6), v6)},
		{"IP in IP behind an extension header", 101, append(append(build(outer6(60))[:40:40], protocolIPv4, 0, 1, 4, 0, 0, 0, 0), v4...)},
		{"MPLS", 1, build(ethernet(layers.EthernetTypeMPLSUnicast), mpls, v4)},
		{"MPLS, two labels, IPv6", 1, build(ethernet(layers.EthernetTypeMPLSUnicast), mplsTop, mpls, v6)},
		{"MPLS behind VLAN", 1, build(ethernet(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeMPLSUnicast}, mpls, v4)},
		{"PPPoE", 1, build(ethernet(layers.EthernetTypePPPoESession), pppoe(len(v4)), head(0x00, 0x21), v4)},
		{"PPPoE of IPv6", 1, build(ethernet(layers.EthernetTypePPPoESession), pppoe(len(v6)), head(0x00, 0x57), v6)},
		{"GTP-U", 1, build(in4, o4, udp(2152, o4), head(0x30, 0xff, byte(len(v4)>>8), byte(len(v4)), 0, 0, 0, 9), v4)},
		{"SNAP", 1, append(append(append(make([]byte, 12), 0, byte(8+len(v4))), 0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00), v4...)},
		{"PPP", 9, append([]byte{0xff, 0x03, 0x00, 0x21}, v4...)},
	}
}

func TestTunnels(t *testing.T) {
	for _, test := range tunnelTests(t) {
		t.Run(test.name, func(t *testing.T) {
			data := test.data
			if test.name == "IP in IP behind an extension header" {
				binary.BigEndian.PutUint16(data[4:], uint16(len(data)-40))
			}
			assert.Equal(t, payload, string(mustDecode(t, test.link, data, len(data)).Payload))
			padded := append(data[:len(data):len(data)], 0, 0, 0, 0)
			assert.Equal(t, payload, string(mustDecode(t, test.link, padded, len(padded)).Payload), "padding is no payload")
			for cut := 1; cut <= len(payload) && test.name != "GTP-U"; cut++ { // gopacket refuses that
				s := mustDecode(t, test.link, data[:len(data)-cut], len(data))
				assert.Equal(t, payload[:len(payload)-cut], string(s.Payload))
				assert.EqualValues(t, cut, s.Missing)
			}
			var d Decoder
			var s Segment
			for n := range len(data) - len(payload) - 20 {
				assert.NotEqual(t, Whole, d.Decode(test.link, data[:n:n], len(data), 0, &s), n)
			}
			require.Equal(t, Whole, d.Decode(test.link, data, len(data), 0, &s))
			assert.EqualValues(t, 1, d.Tunnelled())
		})
	}
}

// TestFragmentsOfATunnel: the packets of a tunnel are fragmented where the path is too narrow.
func TestFragmentsOfATunnel(t *testing.T) {
	o4 := outer4(layers.IPProtocolUDP)
	c := capturetest.New()
	whole := capturetest.Serialize(o4, udp(4789, o4), &layers.VXLAN{ValidIDFlag: true}, gopacket.Payload(c.Frame(true, segment(), []byte(payload))))
	parts := split(whole, 24)
	require.Greater(t, len(parts), 2)
	var d Decoder
	var s Segment
	for i, p := range parts {
		want := Pending
		if i == len(parts)-1 {
			want = Whole
		}
		require.Equal(t, want, d.Decode(linkRaw, p, len(p), 0, &s), i)
	}
	assert.Equal(t, payload, string(s.Payload))
	assert.Zero(t, d.Discarded())

	// Fragments of other traffic are not kept.
	o4 = outer4(layers.IPProtocolUDP)
	other := split(capturetest.Serialize(o4, udp(53, o4), gopacket.Payload(make([]byte, 200))), 48)
	for _, p := range other {
		assert.Equal(t, Other, d.Decode(linkRaw, p, len(p), 0, &s))
	}
	assert.Empty(t, d.fragments.waiting)
}

// TestTunnelsOfOthers: what is in a tunnel is not TCP, or is no tunnel.
func TestTunnelsOfOthers(t *testing.T) {
	o4 := outer4(layers.IPProtocolUDP)
	inner := outer4(layers.IPProtocolUDP)
	arp := append(make([]byte, 12), 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1)
	for name, data := range map[string][]byte{
		"DNS":            capturetest.Serialize(o4, udp(4789, o4), &layers.VXLAN{ValidIDFlag: true}, ethernet(layers.EthernetTypeIPv4), inner, udp(53, inner), head(1, 2, 3)),
		"ARP":            capturetest.Serialize(o4, udp(4789, o4), &layers.VXLAN{ValidIDFlag: true}, gopacket.Payload(arp)),
		"garbage":        capturetest.Serialize(o4, udp(8472, o4), head(1, 2, 3)),
		"QUIC":           capturetest.Serialize(o4, udp(443, o4), head(1, 2, 3)),
		"GRE of garbage": capturetest.Serialize(outer4(layers.IPProtocolGRE), head(0xff, 0xff, 0xff, 0xff)),
	} {
		var s Segment
		assert.Equal(t, Other, new(Decoder).Decode(linkRaw, data, len(data), 0, &s), name)
	}
}

// TestTunnelsInTunnels: any depth is decoded, by a bounded amount of work, and a recursion that
// gopacket cannot see is bounded too.
func TestTunnelsInTunnels(t *testing.T) {
	data := ip(t, false)
	for range 1000 {
		data = capturetest.Serialize(outer4(layers.IPProtocolIPv4), gopacket.Payload(data))
	}
	assert.Equal(t, payload, string(mustDecode(t, linkRaw, data, len(data)).Payload))

	data = ip(t, false)
	for range maxNested + 1 {
		header := append(capturetest.Serialize(outer6(60))[:40:40], protocolIPv4, 0, 1, 4, 0, 0, 0, 0)
		binary.BigEndian.PutUint16(header[4:], uint16(8+len(data)+20))
		data = append(header, capturetest.Serialize(outer4(layers.IPProtocolIPv6), gopacket.Payload(data))...)
		if len(data) > 60000 {
			break
		}
	}
	var s Segment
	assert.NotPanics(t, func() { new(Decoder).Decode(linkRaw, data, len(data), 0, &s) })
}

// FuzzTunnels: for any packet, nothing panics, and a payload lies within its packet.
func FuzzTunnels(f *testing.F) {
	for _, test := range tunnelTests(f) {
		f.Add(test.link, test.data)
	}
	f.Fuzz(func(t *testing.T, link uint16, data []byte) {
		var d Decoder
		var s Segment
		for range 2 { // layers are used again
			if d.Decode(link, data, len(data), 0, &s) == Whole {
				assert.LessOrEqual(t, len(s.Payload), len(data))
			}
		}
	})
}

// BenchmarkTunnels measures what a packet in a tunnel costs.
func BenchmarkTunnels(b *testing.B) {
	for _, test := range tunnelTests(b) {
		b.Run(test.name, func(b *testing.B) {
			var d Decoder
			var s Segment
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(test.link, test.data, len(test.data), 0, &s)
			}
		})
	}
}
