package pcap

import (
	"bytes"
	"io"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
)

// BenchmarkReaders compares this package with gopacket's readers, per packet.
func BenchmarkReaders(b *testing.B) {
	c := capturetest.New()
	k := c.Connect(40000)
	for range 5000 {
		k.Exchange("PING\r\n", "+PONG\r\n")
	}
	type zeroCopy interface {
		ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	}
	for _, format := range []struct {
		name string
		file []byte
		open func(io.Reader) (zeroCopy, error)
	}{
		{"pcap", c.Pcap(), func(r io.Reader) (zeroCopy, error) { return pcapgo.NewReader(r) }},
		{"pcapng", c.PcapNG(), func(r io.Reader) (zeroCopy, error) { return pcapgo.NewNgReader(r, pcapgo.DefaultNgReaderOptions) }},
	} {
		perPacket := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(c.Packets)), "ns/packet")
		}
		b.Run(format.name+"/own", func(b *testing.B) {
			for b.Loop() {
				r, err := NewReader("bench", bytes.NewReader(format.file))
				require.NoError(b, err)
				var p Packet
				for r.Next(&p) == nil {
				}
				r.Close()
			}
			perPacket(b)
		})
		b.Run(format.name+"/gopacket", func(b *testing.B) {
			for b.Loop() {
				r, err := format.open(bytes.NewReader(format.file))
				require.NoError(b, err)
				for err == nil {
					_, _, err = r.ZeroCopyReadPacketData()
				}
			}
			perPacket(b)
		})
	}
}
