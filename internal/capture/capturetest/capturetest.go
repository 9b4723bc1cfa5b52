// Package capturetest creates captures of TCP conversations for tests: packet by packet, with any
// fault of the network or of the capture. gopacket encodes the packets, so that the decoders are
// tested against another implementation of the formats. Nothing is random: the same calls create
// the same bytes.
package capturetest

import (
	"bytes"
	"net"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// The parameters of all conversations.
const (
	Port    = 6379
	MSS     = 1460
	SnapLen = 262144
)

// Begin is when every capture begins; RTT is the time between two packets.
var (
	Begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	RTT   = 100 * time.Microsecond
)

// Packet is a captured packet.
type Packet struct {
	Time   time.Time
	Data   []byte
	Length int
}

// Capture is a capture that grows by each call.
type Capture struct {
	Packets []Packet
	Now     time.Time
	IPv6    bool
}

// New returns a capture without packets.
func New() *Capture { return &Capture{Now: Begin} }

// Pause lets time pass.
func (c *Capture) Pause(d time.Duration) { c.Now = c.Now.Add(d) }

// Conn is a connection to port Port. Client and Server are the offsets of the next byte of each
// end.
type Conn struct {
	capture        *Capture
	port           layers.TCPPort
	Client, Server uint32
}

// Join returns a connection that was established before the capture began.
func (c *Capture) Join(port int, client, server uint32) *Conn {
	return &Conn{capture: c, port: layers.TCPPort(port), Client: client, Server: server}
}

// Connect establishes a connection.
func (c *Capture) Connect(port int) *Conn { return c.ConnectAt(port, 1000, 2000) }

// ConnectAt establishes a connection with given initial offsets.
func (c *Capture) ConnectAt(port int, client, server uint32) *Conn {
	k := c.Join(port, client, server)
	k.send(true, "", func(t *layers.TCP) { t.SYN, t.ACK = true, false })
	k.Client++
	k.send(false, "", func(t *layers.TCP) { t.SYN = true })
	k.Server++
	k.send(true, "", nil)
	return k
}

// FastOpen establishes a connection whose SYN carries the first request (TCP Fast Open). The server
// accepts its first bytes, taken of them.
func (c *Capture) FastOpen(port int, request string, taken int) *Conn {
	k := c.Join(port, 1000, 2000)
	k.send(true, request, func(t *layers.TCP) { t.SYN, t.ACK = true, false })
	k.Client += 1 + uint32(taken)
	k.send(false, "", func(t *layers.TCP) { t.SYN = true })
	k.Server++
	k.send(true, "", nil)
	return k
}

// Request sends bytes from the client to the server, in as many segments as necessary.
func (k *Conn) Request(text string) { k.RequestIn(MSS, text) }

// RequestIn does so in segments of a given size.
func (k *Conn) RequestIn(size int, text string) {
	for chunk := range chunks(text, size) {
		k.send(true, chunk, nil)
		k.Client += uint32(len(chunk))
	}
}

// Reply sends bytes from the server to the client.
func (k *Conn) Reply(text string) { k.ReplyIn(MSS, text) }

// ReplyIn does so in segments of a given size.
func (k *Conn) ReplyIn(size int, text string) {
	for chunk := range chunks(text, size) {
		k.send(false, chunk, nil)
		k.Server += uint32(len(chunk))
	}
}

// Exchange sends a request and its reply.
func (k *Conn) Exchange(request, reply string) {
	k.Request(request)
	k.Reply(reply)
}

// Close ends the connection, the client first.
func (k *Conn) Close() {
	k.send(true, "", func(t *layers.TCP) { t.FIN = true })
	k.Client++
	k.send(false, "", func(t *layers.TCP) { t.FIN = true })
	k.Server++
	k.send(true, "", nil)
}

// Reset ends the connection at once, by the client or by the server.
func (k *Conn) Reset(byClient bool) {
	k.send(byClient, "", func(t *layers.TCP) { t.RST = true })
}

// Urgent sends bytes in one segment, with the offset behind the urgent byte, which may exceed the
// segment.
func (k *Conn) Urgent(fromClient bool, text string, pointer uint16) {
	k.send(fromClient, text, func(t *layers.TCP) { t.URG, t.Urgent = true, pointer })
	if fromClient {
		k.Client += uint32(len(text))
	} else {
		k.Server += uint32(len(text))
	}
}

// KeepAlive sends a keep-alive: an old byte.
func (k *Conn) KeepAlive() {
	k.Client--
	k.send(true, "\x00", nil)
	k.Client++
}

func chunks(text string, size int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := min(size, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// send adds a segment to the capture.
func (k *Conn) send(fromClient bool, payload string, change func(*layers.TCP)) {
	tcp := &layers.TCP{SrcPort: k.port, DstPort: Port, Seq: k.Client, Ack: k.Server, ACK: true, PSH: payload != "", Window: 65535}
	if !fromClient {
		tcp.SrcPort, tcp.DstPort, tcp.Seq, tcp.Ack = Port, k.port, k.Server, k.Client
	}
	if change != nil {
		change(tcp)
	}
	c := k.capture
	c.Now = c.Now.Add(RTT)
	c.Add(c.Frame(fromClient, tcp, []byte(payload)))
}

// Add adds a whole packet to the capture.
func (c *Capture) Add(data []byte) {
	c.Packets = append(c.Packets, Packet{c.Now, data, len(data)})
}

// Frame returns a segment in an Ethernet frame.
func (c *Capture) Frame(fromClient bool, tcp *layers.TCP, payload []byte) []byte {
	ethernet := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	source, destination := "10.0.0.1", "10.0.0.2"
	if c.IPv6 {
		ethernet.EthernetType = layers.EthernetTypeIPv6
		source, destination = "fd00::1", "fd00::2"
	}
	if !fromClient {
		source, destination = destination, source
	}
	if c.IPv6 {
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: net.ParseIP(source), DstIP: net.ParseIP(destination)}
		_ = tcp.SetNetworkLayerForChecksum(ip) // it takes any IP layer
		return Serialize(ethernet, ip, tcp, gopacket.Payload(payload))
	}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.ParseIP(source).To4(), DstIP: net.ParseIP(destination).To4()}
	_ = tcp.SetNetworkLayerForChecksum(ip) // it takes any IP layer
	return Serialize(ethernet, ip, tcp, gopacket.Payload(payload))
}

// Serialize returns layers as bytes, lengths and checksums filled in.
func Serialize(stack ...gopacket.SerializableLayer) []byte {
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		panic(err) // the layers are written out in tests
	}
	return buffer.Bytes()
}

// Snap cuts every packet to a length, as captures do.
func (c *Capture) Snap(length int) {
	for i := range c.Packets {
		p := &c.Packets[i]
		p.Data = p.Data[:min(length, len(p.Data))]
	}
}

// Pcap returns the capture as a pcap file.
func (c *Capture) Pcap() []byte {
	var file bytes.Buffer
	w := pcapgo.NewWriterNanos(&file)
	mustWrite(w.WriteFileHeader(SnapLen, layers.LinkTypeEthernet))
	for _, p := range c.Packets {
		mustWrite(w.WritePacket(gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(p.Data), Length: p.Length}, p.Data))
	}
	return file.Bytes()
}

// PcapNG returns the capture as a pcapng file.
func (c *Capture) PcapNG() []byte {
	var file bytes.Buffer
	of := pcapgo.NgInterface{LinkType: layers.LinkTypeEthernet, SnapLength: SnapLen, TimestampResolution: 9}
	w, err := pcapgo.NewNgWriterInterface(&file, of, pcapgo.NgWriterOptions{}) // the default depends on this machine
	mustWrite(err)
	for _, p := range c.Packets {
		mustWrite(w.WritePacket(gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(p.Data), Length: p.Length}, p.Data))
	}
	mustWrite(w.Flush())
	return file.Bytes()
}

// mustWrite panics on an error, because writing to memory does not fail.
func mustWrite(err error) {
	if err != nil {
		panic(err)
	}
}
