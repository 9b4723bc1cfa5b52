package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

const (
	conns       = 50
	segmentSize = 65483 // of loopback
)

// load is what a capture holds: GETs on 50 connections in turn, as redis-benchmark sends them.
type load struct {
	name             string
	pipeline, rounds int
	value            string
}

var loads = []load{
	{name: "single", pipeline: 1, rounds: 20000, value: "xxx"},
	{name: "pipelined", pipeline: 16, rounds: 2500, value: "xxx"},
	{name: "values_1MB", pipeline: 1, rounds: 12, value: strings.Repeat("x", 1<<20)},
}

func (l load) request() string {
	return strings.Repeat(capturetest.Command("GET", "key:000000000042"), l.pipeline)
}

func (l load) reply() string { return strings.Repeat(resp.Bulk(l.value), l.pipeline) }

func (l load) commands() int { return conns * l.rounds * l.pipeline }

func (l load) packets() int {
	return conns * (3 + l.rounds*(1+(len(l.reply())+segmentSize-1)/segmentSize))
}

func (l load) perSecond(used time.Duration) float64 {
	return float64(l.commands()) / used.Seconds() / 1e6
}

func (l load) bytesPerSecond(file string, used time.Duration) float64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return float64(info.Size()) / used.Seconds() / 1e9
}

// write makes the capture, and returns its size.
func (l load) write(name string) (size int64, err error) {
	file, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buffered := bufio.NewWriterSize(file, 1<<20)
	w := &writer{pcap: pcapgo.NewWriterNanos(buffered), buffer: gopacket.NewSerializeBuffer(), now: capturetest.Begin}
	if err := w.pcap.WriteFileHeader(capturetest.SnapLen, layers.LinkTypeEthernet); err != nil {
		return 0, err
	}
	w.traffic(l)
	if err := errors.Join(w.err, buffered.Flush()); err != nil {
		return 0, err
	}
	return file.Seek(0, 1)
}

// writer writes packets with the headers that Linux sends, time stamps of TCP included.
type writer struct {
	pcap    *pcapgo.Writer
	buffer  gopacket.SerializeBuffer
	now     time.Time
	offsets [conns][2]uint32
	err     error
}

func (w *writer) traffic(l load) {
	for i := range conns {
		w.offsets[i] = [2]uint32{1000 * uint32(i), 2000 * uint32(i)}
		w.send(i, 0, nil, func(t *layers.TCP) { t.SYN, t.ACK = true, false })
		w.offsets[i][0]++
		w.send(i, 1, nil, func(t *layers.TCP) { t.SYN = true })
		w.offsets[i][1]++
		w.send(i, 0, nil, nil)
	}
	request, reply := []byte(l.request()), []byte(l.reply())
	for range l.rounds {
		for i := range conns {
			w.stream(i, 0, request)
			w.stream(i, 1, reply)
		}
	}
}

func (w *writer) stream(conn, from int, data []byte) {
	for len(data) > 0 {
		n := min(len(data), segmentSize)
		w.send(conn, from, data[:n], nil)
		w.offsets[conn][from] += uint32(n)
		data = data[n:]
	}
}

func (w *writer) send(conn, from int, payload []byte, change func(*layers.TCP)) {
	ports := [2]layers.TCPPort{layers.TCPPort(40000 + conn), capturetest.Port}
	ips := [2]net.IP{{10, 0, 0, 1}, {10, 0, 0, 2}}
	to := 1 - from
	w.now = w.now.Add(5 * time.Microsecond)
	tcp := &layers.TCP{
		SrcPort: ports[from], DstPort: ports[to], Seq: w.offsets[conn][from], Ack: w.offsets[conn][to], ACK: true, PSH: len(payload) > 0, Window: 512,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)}},
	}
	if change != nil {
		change(tcp)
	}
	ip := &layers.IPv4{Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolTCP, SrcIP: ips[from], DstIP: ips[to]}
	ethernet := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	options := gopacket.SerializeOptions{FixLengths: true}
	if err := gopacket.SerializeLayers(w.buffer, options, ethernet, ip, tcp, gopacket.Payload(payload)); err != nil {
		w.err = fmt.Errorf("put a packet together: %w", err)
		return
	}
	data := w.buffer.Bytes()
	w.err = errors.Join(w.err, w.pcap.WritePacket(gopacket.CaptureInfo{Timestamp: w.now, CaptureLength: len(data), Length: len(data)}, data))
}
