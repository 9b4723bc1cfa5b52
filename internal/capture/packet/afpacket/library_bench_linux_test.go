package afpacket

import (
	"io"
	"net"
	"testing"
	"time"

	library "github.com/gopacket/gopacket/afpacket"
	"github.com/stretchr/testify/require"
)

// BenchmarkRings compares this package with gopacket's afpacket, per packet: the ring is filled by
// an exchange on loopback, which is not timed, and then read. Needs CAP_NET_RAW.
func BenchmarkRings(b *testing.B) {
	const size, exchanges, snap = 16 << 20, 2000, 65535
	client, port := echo(b)
	program, err := filter([]uint16{port}, nil, snap)
	require.NoError(b, err)
	fill := func(b *testing.B) {
		b.StopTimer()
		buffer := make([]byte, 40)
		for range exchanges {
			_, err := client.Write(buffer)
			require.NoError(b, err)
			_, err = io.ReadFull(client, buffer)
			require.NoError(b, err)
		}
		time.Sleep(5 * time.Millisecond) // the kernel hands over the last block after the flush interval
		b.StartTimer()
	}
	b.Run("own", func(b *testing.B) {
		r, err := Open(Options{Ports: []uint16{port}, RingSize: size, FlushInterval: time.Millisecond, SnapLength: snap})
		if err != nil {
			b.Skip(err)
		}
		defer r.Release()
		packets := 0
		for b.Loop() {
			fill(b)
			for p := (Packet{}); r.Next(&p); packets++ {
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
		b.ReportMetric(float64(packets)/float64(b.N), "packets")
	})
	b.Run("gopacket", func(b *testing.B) {
		r, err := library.NewTPacket(library.SocketDgram, library.TPacketVersion3, library.OptBlockSize(maxBlockSize),
			library.OptNumBlocks(size/maxBlockSize), library.OptBlockTimeout(time.Millisecond), library.OptPollTimeout(0))
		if err != nil {
			b.Skip(err)
		}
		defer r.Close()
		require.NoError(b, r.SetBPF(program))
		packets := 0
		for b.Loop() {
			fill(b)
			for {
				if _, _, err := r.ZeroCopyReadPacketData(); err != nil {
					break
				}
				packets++
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
		b.ReportMetric(float64(packets)/float64(b.N), "packets")
	})
}

// echo returns a connection whose other end, at the port, sends back what it is sent.
func echo(b *testing.B) (client net.Conn, port uint16) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { _ = listener.Close() })
	go func() {
		server, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(server, server)
		_ = server.Close()
	}()
	client, err = net.Dial("tcp", listener.Addr().String())
	require.NoError(b, err)
	b.Cleanup(func() { _ = client.Close() })
	return client, uint16(listener.Addr().(*net.TCPAddr).Port)
}
