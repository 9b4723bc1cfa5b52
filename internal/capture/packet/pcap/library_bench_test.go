package pcap

import (
	"bytes"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
)

// BenchmarkReaders compares this package's reading of pcapng with gopacket's, per packet.
func BenchmarkReaders(b *testing.B) {
	c := capturetest.New()
	k := c.Connect(40000)
	for range 5000 {
		k.Exchange("PING\r\n", "+PONG\r\n")
	}
	file := c.PcapNG()
	perPacket := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(c.Packets)), "ns/packet")
	}
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			r, err := NewReader("bench", bytes.NewReader(file))
			require.NoError(b, err)
			var p Packet
			for r.Next(&p) == nil {
			}
			r.Close()
		}
		perPacket(b)
	})
	b.Run("gopacket", func(b *testing.B) {
		for b.Loop() {
			r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
			require.NoError(b, err)
			for err == nil {
				_, _, err = r.ZeroCopyReadPacketData()
			}
		}
		perPacket(b)
	})
}
