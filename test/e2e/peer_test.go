package e2e

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The far side of a network of this test's own: what an address does with a SYN. Everything behind it
// is silent, but for the answer to the SYN.
const (
	ownAddress  = "10.99.0.1"
	slow        = "10.99.0.2" // answers after answerDelay, and acknowledges nothing from then on
	refusing    = "10.99.0.3"
	silent      = "10.99.0.4"
	unreachable = "10.99.0.5" // a router says so
	symmetric   = "10.99.0.6" // connects itself, and resets what comes of it
)

// answerDelay is what the network to slow takes.
const answerDelay = 50 * time.Millisecond

// far is a network that this program plays, behind a TUN device.
type far struct {
	tb     testing.TB
	device *os.File
}

// mustFar makes the network in the network namespace of this thread.
func mustFar(tb testing.TB) {
	tb.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	require.NoError(tb, err)
	request, err := unix.NewIfreq("far")
	require.NoError(tb, err)
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	require.NoError(tb, unix.IoctlIfreq(fd, unix.TUNSETIFF, request))
	require.NoError(tb, unix.SetNonblock(fd, true))
	f := &far{tb, os.NewFile(uintptr(fd), "/dev/net/tun")}
	tb.Cleanup(func() { _ = f.device.Close() })
	mustRunAll(tb, [][]string{{"ip", "address", "add", ownAddress + "/24", "dev", "far"}, {"ip", "link", "set", "far", "up"}})
	go f.run()
}

func (f *far) run() {
	for packet := make([]byte, 1<<16); ; {
		n, err := f.device.Read(packet)
		if err != nil {
			return
		}
		parsed := gopacket.NewPacket(packet[:n], layers.LayerTypeIPv4, gopacket.Default)
		ip, _ := parsed.NetworkLayer().(*layers.IPv4)
		tcp, _ := parsed.TransportLayer().(*layers.TCP)
		if ip != nil && tcp != nil {
			f.take(ip, tcp)
		}
	}
}

func (f *far) take(ip *layers.IPv4, tcp *layers.TCP) {
	const first = 1000 // offset
	answer := layers.TCP{SrcPort: tcp.DstPort, DstPort: tcp.SrcPort, Seq: first, Ack: tcp.Seq + 1, Window: 1 << 15}
	switch to := netip.AddrFrom4([4]byte(ip.DstIP.To4())).String(); {
	case tcp.SYN && tcp.ACK && to == symmetric:
		answer.Seq, answer.Ack, answer.RST = first+1, 0, true
	case !tcp.SYN || tcp.ACK:
		return
	case to == slow:
		answer.SYN, answer.ACK = true, true
		time.AfterFunc(answerDelay, func() { f.send(ip, &answer) })
		return
	case to == refusing:
		answer.Seq, answer.RST, answer.ACK = 0, true, true
	case to == symmetric:
		answer.Ack, answer.SYN = 0, true
	case to == unreachable:
		head := append(append([]byte{}, ip.Contents...), tcp.Contents[:8]...)
		f.write(&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: ip.DstIP, DstIP: ip.SrcIP},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeHost)}, gopacket.Payload(head))
		return
	default:
		return
	}
	f.send(ip, &answer)
}

// send sends a segment back to where a packet came from.
func (f *far) send(to *layers.IPv4, segment *layers.TCP) {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: to.DstIP, DstIP: to.SrcIP}
	_ = segment.SetNetworkLayerForChecksum(ip) // of IPv4, so it cannot fail
	f.write(ip, segment)
}

func (f *far) write(parts ...gopacket.SerializableLayer) {
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		f.tb.Error(err)
		return
	}
	_, _ = f.device.Write(buffer.Bytes()) // after the test it is closed
}
