package packet_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/capture/packet/pcap"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// load is traffic on 50 connections in turn, like that of redis-benchmark.
func load(pipeline, rounds int, request, reply string) (file []byte, commands int) {
	c := capturetest.New()
	const conns = 50
	var k [conns]*capturetest.Conn
	for i := range k {
		k[i] = c.Connect(40000 + i)
	}
	for range rounds {
		for i := range k {
			k[i].RequestIn(65483, strings.Repeat(request, pipeline))
			k[i].ReplyIn(65483, strings.Repeat(reply, pipeline))
		}
	}
	return c.Pcap(), conns * rounds * pipeline
}

// BenchmarkReplay measures the whole path, from the bytes of a capture to the metrics.
func BenchmarkReplay(b *testing.B) {
	get := capturetest.Command("GET", "key:000000000042")
	value := resp.Bulk(strings.Repeat("x", 1<<20))
	for _, bench := range []struct {
		name             string
		pipeline, rounds int
		request, reply   string
	}{
		{"small", 1, 1000, get, resp.Bulk("xxx")},
		{"small_pipelined_16", 16, 100, get, resp.Bulk("xxx")},
		{"values_1MB", 1, 2, get, value},
	} {
		b.Run(bench.name, func(b *testing.B) {
			file, commands := load(bench.pipeline, bench.rounds, bench.request, bench.reply)
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				require.EqualValues(b, commands, count(b, file))
			}
			b.ReportMetric(float64(commands)*float64(b.N)/b.Elapsed().Seconds(), "commands/s")
		})
	}
}

// count replays a capture and returns how many commands succeeded.
func count(b *testing.B, file []byte) (commands int) {
	source, err := packet.OpenReplay(packet.ReplayOptions{
		Files: []string{"-"}, Stdin: bytes.NewReader(file), ClientPorts: []uint16{capturetest.Port},
		Resolve: func(event.Role, *event.Endpoints) bool { return true },
	})
	require.NoError(b, err)
	identities := identity.NewRegistry("name")
	name := identities.Intern("bench")
	recorder := metrics.New(metrics.Options{
		Buckets: []float64{0.001, 0.01, 0.1}, Commands: command.Builtin(), Identities: identities,
		Logger: slog.New(slog.DiscardHandler),
	})
	tracker := correlate.New(correlate.Options{Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return name, true }})
	var e event.Event
	for {
		err := source.Read(&e)
		if errors.Is(err, io.EOF) {
			return commands
		}
		if err != nil { // not by require, which costs more than all that is measured
			b.Fatal(err)
		}
		exchanges := tracker.Track(&e)
		for i := range exchanges {
			recorder.Record(&exchanges[i])
			if exchanges[i].Outcome == session.Success {
				commands += int(exchanges[i].Count)
			}
		}
	}
}

// BenchmarkDecode measures the cost of decoding packets, beside gopacket's fastest decoder.
func BenchmarkDecode(b *testing.B) {
	file, _ := load(1, 100, "PING\r\n", "+PONG\r\n")
	packets := allPackets(b, file)
	b.Run("frame", func(b *testing.B) {
		var d frame.Decoder
		var s frame.Segment
		for i := 0; b.Loop(); i++ {
			p := &packets[i%len(packets)]
			if d.Decode(uint16(p.Link), p.Data, p.Length, p.Time, &s) != frame.Whole {
				b.Fatal("no segment")
			}
		}
	})
	b.Run("gopacket", func(b *testing.B) {
		var ethernet layers.Ethernet
		var ip layers.IPv4
		var tcp layers.TCP
		var payload gopacket.Payload
		parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &ethernet, &ip, &tcp, &payload)
		var decoded []gopacket.LayerType
		for i := 0; b.Loop(); i++ {
			if err := parser.DecodeLayers(packets[i%len(packets)].Data, &decoded); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func allPackets(tb testing.TB, file []byte) []pcap.Packet {
	tb.Helper()
	r, err := pcap.NewReader("bench", bytes.NewReader(file))
	require.NoError(tb, err)
	defer r.Close()
	var all []pcap.Packet
	var p pcap.Packet
	for r.Next(&p) == nil {
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
	return all
}
