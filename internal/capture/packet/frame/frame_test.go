package frame

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
)

const payload = "*1\r\n$4\r\nPING\r\n"

func segment() *layers.TCP {
	return &layers.TCP{SrcPort: 40000, DstPort: 6379, Seq: 7, Ack: 9, ACK: true, PSH: true}
}

// ip returns an IP packet without link header.
func ip(tb testing.TB, v6 bool) []byte {
	tb.Helper()
	c := capturetest.New()
	c.IPv6 = v6
	return c.Frame(true, segment(), []byte(payload))[14:]
}

func mustDecode(tb testing.TB, link uint16, data []byte, length int) *Segment {
	tb.Helper()
	var s Segment
	require.Equal(tb, Whole, new(Decoder).Decode(link, data, length, 0, &s))
	assert.EqualValues(tb, 40000, s.SourcePort)
	assert.EqualValues(tb, 6379, s.DestinationPort)
	assert.EqualValues(tb, 7, s.Seq)
	assert.EqualValues(tb, 9, s.Ack)
	assert.EqualValues(tb, ACK|PSH, s.Flags)
	return &s
}

func TestLinks(t *testing.T) {
	mac := make([]byte, 12)
	sll := func(t uint16) []byte { return binary.BigEndian.AppendUint16(make([]byte, 14), t) }
	sll2 := func(t uint16) []byte { return append(binary.BigEndian.AppendUint16(nil, t), make([]byte, 18)...) }
	tests := []struct {
		name string
		link uint16
		v6   bool
		head []byte
	}{
		{"ethernet IPv4", 1, false, append(mac, 0x08, 0x00)},
		{"ethernet IPv6", 1, true, append(mac, 0x86, 0xdd)},
		{"VLAN", 1, false, append(mac, 0x81, 0x00, 0, 5, 0x08, 0x00)},
		{"QinQ", 1, true, append(mac, 0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 6, 0x86, 0xdd)},
		{"old QinQ", 1, false, append(mac, 0x91, 0x00, 0, 5, 0x81, 0x00, 0, 6, 0x08, 0x00)},
		{"null, little endian", 0, false, []byte{2, 0, 0, 0}},
		{"null, big endian", 0, false, []byte{0, 0, 0, 2}},
		{"null, IPv6 of macOS", 0, true, []byte{30, 0, 0, 0}},
		{"null, IPv6 of FreeBSD", 0, true, []byte{28, 0, 0, 0}},
		{"loop, IPv6 of OpenBSD", 108, true, []byte{0, 0, 0, 24}},
		{"cooked", 113, false, sll(0x0800)},
		{"cooked VLAN", 113, true, append(sll(0x8100), 0, 5, 0x86, 0xdd)},
		{"cooked, version 2", 276, true, sll2(0x86dd)},
		{"raw", 101, false, nil},
		{"raw IPv6", 101, true, nil},
		{"raw of old", 12, false, nil},
		{"raw of OpenBSD", 14, false, nil},
		{"IPv4 only", 228, false, nil},
		{"IPv6 only", 229, true, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data := append(append([]byte{}, test.head...), ip(t, test.v6)...)
			assert.Equal(t, payload, string(mustDecode(t, test.link, data, len(data)).Payload))

			padded := append(data, 0, 0, 0, 0)
			assert.Equal(t, payload, string(mustDecode(t, test.link, padded, len(padded)).Payload), "padding is no payload")

			cut := data[:len(data)-10]
			s := mustDecode(t, test.link, cut, len(data))
			assert.Equal(t, payload[:len(payload)-10], string(s.Payload))
			assert.EqualValues(t, 10, s.Missing)
		})
	}
	var s Segment
	assert.Equal(t, Unsupported, new(Decoder).Decode(147, make([]byte, 64), 64, 0, &s))
}

// TestSliced: switches and packet brokers cut packets off before the capture, so that the capture
// does not record their length. The IP header has it.
func TestSliced(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		whole := ip(t, v6)
		cut := whole[:len(whole)-10]
		s := mustDecode(t, linkRaw, cut, len(cut))
		assert.Equal(t, payload[:len(payload)-10], string(s.Payload))
		assert.EqualValues(t, 10, s.Missing)
	}
}

func TestOffloaded(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		data := ip(t, v6)
		if v6 {
			copy(data[4:6], []byte{0, 0})
		} else {
			copy(data[2:4], []byte{0, 0})
		}
		assert.Equal(t, payload, string(mustDecode(t, 101, data, len(data)).Payload))
	}
}

func TestExtensionHeaders(t *testing.T) {
	data := ip(t, true)
	head := append([]byte{}, data[:40]...)
	head[6] = 0 // hop by hop
	binary.BigEndian.PutUint16(head[4:], uint16(len(data)-40+8+16+8))
	options := []byte{60, 0, 1, 4, 0, 0, 0, 0}                                  // hop by hop, destination follows
	options = append(options, 44, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // destination, fragment follows
	options = append(options, 6, 0, 0, 0, 1, 2, 3, 4)                           // a fragment that is the whole
	data = append(append(head, options...), data[40:]...)
	assert.Equal(t, payload, string(mustDecode(t, 101, data, len(data)).Payload))
	padded := append(data, 0, 0, 0, 0)
	assert.Equal(t, payload, string(mustDecode(t, 101, padded, len(padded)).Payload), "padding is no payload")
}

// extended returns the IPv6 packet with a chain of extension headers between those of IP and TCP.
func extended(tb testing.TB, chain ...[]byte) []byte {
	tb.Helper()
	data := ip(tb, true)
	head := append([]byte{}, data[:40]...)
	head[6] = protocolDestination
	options := bytes.Join(chain, nil)
	binary.BigEndian.PutUint16(head[4:], uint16(len(data)-40+len(options)))
	return append(append(head, options...), data[40:]...)
}

func TestChainsOfExtensionHeaders(t *testing.T) {
	options := []byte{protocolDestination, 0, 1, 4, 0, 0, 0, 0}
	last := []byte{protocolTCP, 0, 1, 4, 0, 0, 0, 0}
	chain := func(n int, end ...byte) []byte {
		return extended(t, append(slices.Repeat([][]byte{options}, n-1), end)...)
	}
	longest := chain(maxExtension-1, last...)
	assert.Equal(t, payload, string(mustDecode(t, 101, longest, len(longest)).Payload))
	for name, test := range map[string]struct {
		data    []byte
		verdict Verdict
	}{
		"without end":                {chain(100, options...), Malformed},
		"one longer than the packet": {chain(2, protocolTCP, 255, 1, 4, 0, 0, 0, 0), Malformed},
		"no TCP behind":              {chain(2, 17, 0, 1, 4, 0, 0, 0, 0), Other},
		"none behind":                {chain(2, 59, 0, 1, 4, 0, 0, 0, 0), Other},
		"encrypted":                  {chain(2, 50, 0, 1, 4, 0, 0, 0, 0), Other},
		"a fragment of UDP":          {chain(2, append([]byte{protocolFragment, 0, 1, 4, 0, 0, 0, 0}, 17, 0, 0, 1, 0, 0, 0, 1)...), Other},
	} {
		t.Run(name, func(t *testing.T) {
			var s Segment
			assert.Equal(t, test.verdict, new(Decoder).Decode(101, test.data, len(test.data), 0, &s))
		})
	}
}

func TestFragmentsOfIPv6(t *testing.T) {
	whole := ip(t, true)
	part := func(from, to int, more byte) []byte {
		head := append(append([]byte{}, whole[:40]...), protocolTCP, 0, byte(from>>8), byte(from)|more, 1, 2, 3, 4)
		head[6] = protocolFragment
		head = append(head, whole[40+from:40+to]...)
		binary.BigEndian.PutUint16(head[4:], uint16(len(head)-40))
		return head
	}
	var d Decoder
	var s Segment
	size := len(whole) - 40
	for _, p := range [][]byte{part(16, size, 0), part(0, 8, 1)} {
		require.Equal(t, Pending, d.Decode(101, p, len(p), 0, &s))
	}
	middle := part(8, 16, 1)
	require.Equal(t, Whole, d.Decode(101, middle, len(middle), 0, &s))
	assert.Equal(t, payload, string(s.Payload))
}

// TestOptionsOfTCP: the options are not decoded, so they may have any content.
func TestOptionsOfTCP(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, options := range []string{"\x02\x00\x00\x00", "\x08\xff\x08\xff", "\x05\x01\x00\x00", strings.Repeat("\x1e\x00", 20)} {
			c := capturetest.New()
			c.IPv6 = v6
			tcp := segment()
			data := c.Frame(true, tcp, []byte(options+payload))
			at := len(data) - len(options+payload) - 8 // of the header's length
			data[at] = byte(5+len(options)/4) << 4
			assert.Equal(t, payload, string(mustDecode(t, linkEthernet, data, len(data)).Payload))
		}
	}
}

func TestOtherProtocols(t *testing.T) {
	whole := ip(t, false)
	sll2 := append(binary.BigEndian.AppendUint16(nil, 0x0806), append(make([]byte, 18), whole...)...)
	llc := append(append(make([]byte, 12), 0, 46), whole...)
	for link, data := range map[uint16][]byte{linkSLL2: sll2, linkEthernet: llc, linkNull: append([]byte{7, 0, 0, 0}, whole...)} {
		var s Segment
		assert.Equal(t, Other, new(Decoder).Decode(link, data, len(data), 0, &s), link)
	}
}

func TestRejects(t *testing.T) {
	change := func(at int, to ...byte) []byte {
		data := ip(t, false)
		copy(data[at:], to)
		return data
	}
	whole := ip(t, false)
	tests := []struct {
		name    string
		data    []byte
		length  int // 0: that of data
		verdict Verdict
	}{
		{"empty", nil, 0, Malformed},
		{"nothing kept", nil, 100, Snapped},
		{"no IP", []byte{0x10, 0, 0}, 0, Other},
		{"header of IP cut by the capture", whole[:15], len(whole), Snapped},
		{"header of IP cut by the sender", whole[:15], 0, Malformed},
		{"header of TCP cut by the capture", whole[:30], len(whole), Snapped},
		{"total length beyond the packet, within the header", change(2, 0xff, 0xff)[:30], 0, Snapped},
		{"total length below the header", change(2, 0, 19), 0, Malformed},
		{"header length of IP too small", change(0, 0x44), 0, Malformed},
		{"header length of TCP too small", change(32, 0x40), 0, Malformed},
		{"header length of TCP beyond the packet", change(32, 0xf0), 0, Malformed},
		{"UDP", change(9, 17), 0, Other},
		{"fragment that is no multiple of 8", change(6, 0x20, 0), 0, Malformed},
		{"fragment beyond the largest datagram", change(6, 0x1f, 0xff), 0, Malformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			length := test.length
			if length == 0 {
				length = len(test.data)
			}
			var s Segment
			assert.Equal(t, test.verdict, new(Decoder).Decode(101, test.data, length, 0, &s))
		})
	}
	var s Segment
	assert.Equal(t, Unsupported, new(Decoder).Decode(147, whole, len(whole), 0, &s))
}

// split returns the fragments of an IPv4 packet.
func split(data []byte, size int) [][]byte {
	var fragments [][]byte
	body := data[20:]
	for at := 0; at < len(body); at += size {
		end := min(at+size, len(body))
		f := append(append([]byte{}, data[:20]...), body[at:end]...)
		where := uint16(at / 8)
		if end < len(body) {
			where |= 0x2000
		}
		binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
		binary.BigEndian.PutUint16(f[6:], where)
		fragments = append(fragments, f)
	}
	return fragments
}

func TestFragments(t *testing.T) {
	parts := split(ip(t, false), 8)
	require.Greater(t, len(parts), 3)
	orders := map[string][]int{"in order": {0, 1, 2, 3, 4}, "reversed": {4, 3, 2, 1, 0}, "one twice": {0, 0, 1, 2, 3, 4}, "mixed": {2, 4, 0, 3, 1}}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			var s Segment
			for i, n := range order {
				verdict := d.Decode(101, parts[n], len(parts[n]), 0, &s)
				if i < len(order)-1 {
					assert.Equal(t, Pending, verdict)
					continue
				}
				require.Equal(t, Whole, verdict)
			}
			assert.Equal(t, payload, string(s.Payload))
			assert.Zero(t, d.fragments.bytes)
			assert.Zero(t, d.Discarded())
		})
	}
}

func TestFragmentsThatOverlap(t *testing.T) {
	data := ip(t, false)
	parts, other := split(data, 8), split(data, 16)
	var d Decoder
	var s Segment
	d.Decode(101, parts[1], len(parts[1]), 0, &s)
	var verdicts []Verdict
	for _, p := range append(other[:1], parts[3:]...) {
		verdicts = append(verdicts, d.Decode(101, p, len(p), 0, &s))
	}
	assert.Equal(t, []Verdict{Pending, Pending, Malformed}, verdicts)
	assert.EqualValues(t, 1, d.Discarded())
}

func TestFragmentsAreBounded(t *testing.T) {
	var d Decoder
	var s Segment
	fragment := split(ip(t, false), 8)[0]
	for i := range 10 * maxDatagrams {
		binary.BigEndian.PutUint16(fragment[4:], uint16(i))
		assert.Equal(t, Pending, d.Decode(101, fragment, len(fragment), 0, &s))
	}
	assert.LessOrEqual(t, len(d.fragments.waiting), maxDatagrams)
	assert.EqualValues(t, 9*maxDatagrams, d.Discarded())

	d.Decode(101, fragment, len(fragment), 2*fragmentsLimit, &s)
	assert.Len(t, d.fragments.waiting, 1, "what is too old is given up")
}

func TestDecodeAllocatesNothing(t *testing.T) {
	data := ip(t, true)
	var d Decoder
	var s Segment
	assert.Zero(t, testing.AllocsPerRun(100, func() { d.Decode(101, data, len(data), 0, &s) }))
}

// FuzzAgainstGopacket compares the decoder with gopacket.
func FuzzAgainstGopacket(f *testing.F) {
	c := capturetest.New()
	f.Add(c.Frame(true, segment(), []byte(payload)))
	c.IPv6 = true
	f.Add(c.Frame(false, segment(), []byte(payload)))
	f.Add(capturetest.Serialize(
		&layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeDot1Q},
		&layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeIPv4}, gopacket.Payload(ip(f, false))))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Segment
		if new(Decoder).Decode(linkEthernet, data, len(data), 0, &s) != Whole {
			return
		}
		assert.LessOrEqual(t, len(s.Payload), len(data))
		assert.LessOrEqual(t, s.Missing, uint32(maxDatagram), "a sliced packet")
		if ethertype, head, _ := network(linkEthernet, data); plain(ethertype, data[head:], &s) {
			var stepwise Segment
			require.Equal(t, Whole, new(Decoder).ip(ethertype, data[head:], len(data)-head, 0, &stepwise))
			assert.Equal(t, stepwise, s, "both ways lead to the same")
		}
		packet := gopacket.NewPacket(data, layers.LinkTypeEthernet, gopacket.Default)
		tcp, found := packet.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !found || packet.ErrorLayer() != nil {
			return // it does not decode some headers that may precede TCP, and decodes options that are not used here
		}
		if packet.Layer(layers.LayerTypeIPv6HopByHop) != nil {
			return // gopacket takes the length in the IPv6 header for the length behind these options
		}
		assert.Equal(t, uint16(tcp.SrcPort), s.SourcePort)
		assert.Equal(t, uint16(tcp.DstPort), s.DestinationPort)
		assert.Equal(t, tcp.Seq, s.Seq)
		assert.Equal(t, tcp.Ack, s.Ack)
		assert.Equal(t, tcp.SYN, s.Flags&SYN != 0)
		assert.Equal(t, tcp.FIN, s.Flags&FIN != 0)
		assert.Equal(t, tcp.RST, s.Flags&RST != 0)
		assert.Equal(t, tcp.URG, s.Flags&URG != 0)
		assert.Equal(t, tcp.Urgent, s.Urgent)
		assert.Equal(t, string(tcp.Payload), string(s.Payload))
	})
}

func FuzzFragments(f *testing.F) {
	var all []byte
	for _, p := range split(ip(f, false), 8) {
		all = append(append(all, byte(len(p))), p...)
	}
	f.Add(uint16(101), all)
	f.Fuzz(func(t *testing.T, link uint16, data []byte) {
		var d Decoder
		var s Segment
		for now := int64(0); len(data) > 0; now++ {
			n := min(int(data[0]), len(data)-1)
			packet := data[1 : 1+n]
			if d.Decode(link, packet, n+int(data[0]&1), now, &s) == Whole {
				assert.LessOrEqual(t, len(s.Payload), maxDatagram)
			}
			data = data[1+n:]
		}
		assert.LessOrEqual(t, d.fragments.bytes, maxBytes)
	})
}
