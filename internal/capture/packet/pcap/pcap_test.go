package pcap

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
)

func sample() *capturetest.Capture {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Exchange("PING\r\n", "+PONG\r\n")
	k.Close()
	c.Packets[3].Data = c.Packets[3].Data[:40]
	return c
}

// read returns the packets of a file, and the error that ended it; nil at its regular end.
func read(tb testing.TB, file []byte) ([]Packet, error) {
	tb.Helper()
	r, err := NewReader("test.pcap", bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var packets []Packet
	for {
		var p Packet
		err := r.Next(&p)
		if errors.Is(err, io.EOF) {
			return packets, nil
		}
		if err != nil {
			return packets, err
		}
		p.Data = bytes.Clone(p.Data)
		packets = append(packets, p)
	}
}

func gzipped(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return b.Bytes()
}

func zstandard(tb testing.TB, data []byte) []byte {
	tb.Helper()
	w, err := zstd.NewWriter(nil)
	require.NoError(tb, err)
	return w.EncodeAll(data, nil)
}

// swapped converts the headers of a pcap file to the other byte order.
func swapped(file []byte) []byte {
	file = bytes.Clone(file)
	swap := func(at, width int) {
		for i := range width / 2 {
			file[at+i], file[at+width-1-i] = file[at+width-1-i], file[at+i]
		}
	}
	for _, field := range [][2]int{{0, 4}, {4, 2}, {6, 2}, {8, 4}, {12, 4}, {16, 4}, {20, 4}} {
		swap(field[0], field[1])
	}
	for at := fileHeader; at < len(file); {
		kept := int(binary.LittleEndian.Uint32(file[at+8:]))
		for i := range 4 {
			swap(at+4*i, 4)
		}
		at += recordHeader + kept
	}
	return file
}

func TestFormats(t *testing.T) {
	want := sample()
	microseconds := want.Pcap()
	binary.LittleEndian.PutUint32(microseconds, magicMicroseconds)
	for at := fileHeader; at < len(microseconds); {
		nanos := binary.LittleEndian.Uint32(microseconds[at+4:])
		binary.LittleEndian.PutUint32(microseconds[at+4:], nanos/1000)
		at += recordHeader + int(binary.LittleEndian.Uint32(microseconds[at+8:]))
	}
	files := map[string][]byte{
		"pcap": want.Pcap(), "big endian": swapped(want.Pcap()), "microseconds": microseconds, "pcapng": want.PcapNG(),
		"gzip": gzipped(t, want.Pcap()), "zstd": zstandard(t, want.PcapNG()),
		"zstd in two parts": append(zstandard(t, want.Pcap()[:100]), zstandard(t, want.Pcap()[100:])...),
		"gzip in two parts": append(gzipped(t, want.Pcap()[:100]), gzipped(t, want.Pcap()[100:])...),
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			packets, err := read(t, file)
			require.NoError(t, err)
			require.Len(t, packets, len(want.Packets))
			for i, p := range packets {
				assert.Equal(t, want.Packets[i].Time.UnixNano(), p.Time)
				assert.Equal(t, want.Packets[i].Data, p.Data)
				assert.Equal(t, want.Packets[i].Length, p.Length)
				assert.EqualValues(t, layers.LinkTypeEthernet, p.Link)
			}
		})
	}
}

// block returns a block of pcapng.
func block(kind uint32, content []byte) []byte {
	for len(content)%4 != 0 {
		content = append(content, 0)
	}
	length := uint32(len(content) + blockFrame)
	b := binary.LittleEndian.AppendUint32(nil, kind)
	b = binary.LittleEndian.AppendUint32(b, length)
	b = append(b, content...)
	return binary.LittleEndian.AppendUint32(b, length)
}

func option(code uint16, value ...byte) []byte {
	o := binary.LittleEndian.AppendUint16(nil, code)
	o = binary.LittleEndian.AppendUint16(o, uint16(len(value)))
	o = append(o, value...)
	for len(o)%4 != 0 {
		o = append(o, 0)
	}
	return o
}

func section() []byte {
	return block(blockSection, append(binary.LittleEndian.AppendUint32(nil, byteOrder), 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255))
}

func described(link uint16, options ...[]byte) []byte {
	content := append(binary.LittleEndian.AppendUint16(nil, link), 0, 0, 0, 0, 0, 0)
	for _, o := range options {
		content = append(content, o...)
	}
	return block(blockInterface, content)
}

func enhanced(of uint32, stamp uint64, data []byte) []byte {
	content := binary.LittleEndian.AppendUint32(nil, of)
	content = binary.LittleEndian.AppendUint32(content, uint32(stamp>>32))
	content = binary.LittleEndian.AppendUint32(content, uint32(stamp))
	content = binary.LittleEndian.AppendUint32(content, uint32(len(data)))
	content = binary.LittleEndian.AppendUint32(content, uint32(len(data)))
	return block(blockEnhancedPacket, append(content, data...))
}

func TestInterfaces(t *testing.T) {
	const second = 1700000000
	file := bytes.Join([][]byte{
		section(),
		described(1),
		described(276, option(optionResolution, 9)),
		described(101, option(optionResolution, 0x80|10)),
		described(0, option(optionResolution, 3), option(optionOffset, 0, 0, 0, 0, 1, 0, 0, 0)),
		block(0xbad, make([]byte, 3*bufferSize)), // of an unknown type
		enhanced(0, second*1e6+1, []byte("a")),
		enhanced(1, second*1e9+1, []byte("bc")),
		enhanced(2, second<<10+512, []byte("def")),
		enhanced(3, 5, nil),
		block(blockSimplePacket, append(binary.LittleEndian.AppendUint32(nil, 2), 'x', 'y')),
		block(blockStatistics, append(make([]byte, 12), append(option(optionDroppedByDevice, 3, 0, 0, 0, 0, 0, 0, 0), option(optionDroppedBySystem, 4, 0, 0, 0, 0, 0, 0, 0)...)...)),
		section(), described(113), enhanced(0, 0, []byte("z")),
	}, nil)
	packets, err := read(t, file)
	require.NoError(t, err)
	assert.Equal(t, []Packet{
		{Time: second*1e9 + 1000, Link: 1, Length: 1, Data: []byte("a")},
		{Time: second*1e9 + 1, Link: 276, Length: 2, Data: []byte("bc")},
		{Time: second*1e9 + 5e8, Link: 101, Length: 3, Data: []byte("def")},
		{Time: 1<<32*1e9 + 5e6, Link: 0, Length: 0, Data: []byte{}},
		{Time: 1<<32*1e9 + 5e6, Link: 1, Length: 2, Data: []byte("xy"), Untimed: true},
		{Time: 1<<32*1e9 + 5e6, Link: 113, Length: 1, Data: []byte("z"), Untimed: true},
	}, packets)

	r, err := NewReader("", bytes.NewReader(file))
	require.NoError(t, err)
	var p Packet
	for r.Next(&p) == nil {
	}
	assert.EqualValues(t, 7, r.Dropped())
}

// bigEndian converts a section with one interface and one packet to the other byte order.
func bigEndian(section []byte) []byte {
	section = bytes.Clone(section)
	swap := func(at, width int) { slices.Reverse(section[at : at+width]) }
	for _, at := range []int{0, 4, 8, 16, 20, 24, 28, 32, 40, 44, 48, 52, 56, 60, 64, 68, 72, 80} {
		swap(at, 4)
	}
	for _, at := range []int{12, 14, 36, 38} {
		swap(at, 2)
	}
	return section
}

// TestSectionsOfEitherByteOrder: mergecap and cat put sections of several machines into one file.
func TestSectionsOfEitherByteOrder(t *testing.T) {
	little := bytes.Join([][]byte{section(), described(1), enhanced(0, 7, []byte("abcd"))}, nil)
	packets, err := read(t, bytes.Join([][]byte{little, bigEndian(little), little}, nil))
	require.NoError(t, err)
	want := Packet{Time: 7000, Link: 1, Length: 4, Data: []byte("abcd")}
	assert.Equal(t, []Packet{want, want, want}, packets)
}

// TestOptionsThatLie: an option with a wrong length does not prevent reading the next blocks.
func TestOptionsThatLie(t *testing.T) {
	for name, options := range map[string][]byte{
		"longer than the block": {9, 0, 0xff, 0xff},
		"empty, many times":     bytes.Repeat([]byte{9, 0, 0, 0}, 1000),
		"after the end":         {0, 0, 0, 0, 9, 0, 1, 0, 99, 0, 0, 0},
		"cut":                   {9, 0},
	} {
		t.Run(name, func(t *testing.T) {
			packets, err := read(t, bytes.Join([][]byte{section(), described(1, options), enhanced(0, 7, []byte("a"))}, nil))
			require.NoError(t, err)
			assert.Equal(t, []Packet{{Time: 7000, Link: 1, Length: 1, Data: []byte("a")}}, packets)
		})
	}
}

// TestLongestPacket: the buffer grows to the longest packet and no further, for any snap length.
func TestLongestPacket(t *testing.T) {
	longest := bytes.Repeat([]byte("x"), MaxPacket)
	for name, file := range map[string][]byte{
		"pcap":   longPcap(longest),
		"pcapng": bytes.Join([][]byte{section(), described(1), enhanced(0, 7, longest), enhanced(0, 8, longest)}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewReader(name, bytes.NewReader(file))
			require.NoError(t, err)
			var p Packet
			for range 2 {
				require.NoError(t, r.Next(&p))
				assert.Equal(t, longest, p.Data)
			}
			assert.ErrorIs(t, r.Next(&p), io.EOF)
		})
	}
}

// longPcap returns a file with an absurd snap length that contains a packet twice.
func longPcap(packet []byte) []byte {
	file := sample().Pcap()[:fileHeader]
	binary.LittleEndian.PutUint32(file[16:], 0xffffffff)
	for range 2 {
		file = append(file, make([]byte, 8)...)
		file = binary.LittleEndian.AppendUint32(file, uint32(len(packet)))
		file = binary.LittleEndian.AppendUint32(file, uint32(len(packet)))
		file = append(file, packet...)
	}
	return file
}

// TestClaimsTakeNoMemory: a file of a few bytes takes no memory for the packet that it claims to have.
func TestClaimsTakeNoMemory(t *testing.T) {
	const claimed = 100 << 20
	pcap := sample().Pcap()[:fileHeader+recordHeader]
	binary.LittleEndian.PutUint32(pcap[16:], 1<<32-1) // the snap length, which is as hostile
	binary.LittleEndian.PutUint32(pcap[fileHeader+8:], claimed)
	binary.LittleEndian.PutUint32(pcap[fileHeader+12:], claimed)
	ng := bytes.Join([][]byte{section(), described(1), enhanced(0, 1, nil)}, nil)
	binary.LittleEndian.PutUint32(ng[len(ng)-28:], claimed)
	for name, file := range map[string][]byte{"pcap": pcap, "pcapng": ng} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := read(t, file)
		runtime.ReadMemStats(&after)
		require.ErrorContains(t, err, "length", name)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20), name)
	}
}

func TestDamage(t *testing.T) {
	pcap, ng := sample().Pcap(), sample().PcapNG()
	change := func(file []byte, at int, to ...byte) []byte {
		file = bytes.Clone(file)
		copy(file[at:], to)
		return file
	}
	tests := []struct {
		name    string
		file    []byte
		packets int
		offset  int64
	}{
		{"empty", nil, 0, 0},
		{"one byte", []byte{0xd4}, 0, 0},
		{"one byte of gzip", []byte{0x1f}, 0, 0},
		{"header of gzip only", []byte{0x1f, 0x8b}, 0, 0},
		{"header of zstd only", []byte{0x28, 0xb5, 0x2f, 0xfd}, 0, 0},
		{"gzip and then anything else", append(gzipped(t, pcap), "anything else"...), len(sample().Packets), int64(len(pcap))},
		{"zstd and then anything else", append(zstandard(t, pcap), "anything else"...), len(sample().Packets), int64(len(pcap))},
		{"no capture", []byte("#!/bin/sh\n"), 0, 0},
		{"header of the file cut", pcap[:20], 0, 0},
		{"version", change(pcap, 4, 9), 0, 0},
		{"modified format", change(pcap, 0, 0x34, 0xcd, 0xb2, 0xa1), 0, 0},
		{"header of a packet cut", pcap[:24+10], 0, 24},
		{"packet cut", pcap[:len(pcap)-1], 7, int64(len(pcap) - recordHeader - 60)},
		{"absurd length of a packet", change(pcap, 24+8, 0xff, 0xff, 0xff, 0xff), 0, 24},
		{"gzip cut", gzipped(t, pcap)[:100], 0, -1},
		{"gzip of nothing", []byte{0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9}, 0, 0},
		{"zstd cut", zstandard(t, pcap)[:20], 0, 0},
		{"block cut", ng[:len(ng)-1], 7, -1},
		{"absurd length of a block", change(section(), 4, 0xfc, 0xff, 0xff, 0xff), 0, 0},
		{"absurd length of a block that is not read", append(section(), 0xad, 0x0b, 0, 0, 0xfc, 0xff, 0xff, 0xff, 0, 0, 0, 0), 0, 40},
		{"absurd length of a block that is read", append(section(), 6, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 0, 0, 0, 0), 0, 28},
		{"length of a block is no multiple of 4", change(section(), 4, 29), 0, 0},
		{"length of a block below its frame", change(section(), 4, 8), 0, 0},
		{"lengths of a block differ", change(section(), 24, 99), 0, 0},
		{"byte order", change(section(), 8, 1), 0, 0},
		{"version of a section", change(section(), 12, 7), 0, 0},
		{"interface that was not described", append(section(), enhanced(3, 0, nil)...), 0, 28},
		{"interface in short", append(section(), block(blockInterface, []byte{1, 0, 0, 0})...), 0, 28},
		{"resolution beyond 64 bits", append(section(), described(1, option(optionResolution, 20))...), 0, 28},
		{"binary resolution beyond 64 bits", append(section(), described(1, option(optionResolution, 0x80|64))...), 0, 28},
		{"packet longer than its block", append(append(section(), described(1)...), change(enhanced(0, 0, []byte("abc")), 20, 99)...), 0, 48},
		{"packet without header", append(section(), block(blockEnhancedPacket, nil)...), 0, 28},
		{"simple packet without interface", append(section(), block(blockSimplePacket, make([]byte, 8))...), 0, 28},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			packets, err := read(t, test.file)
			var fault *Fault
			require.ErrorAs(t, err, &fault)
			t.Log(fault)
			assert.Equal(t, "test.pcap", fault.File)
			assert.NotEmpty(t, fault.Cause)
			assert.NotEmpty(t, fault.Remedy)
			if test.offset >= 0 {
				assert.Equal(t, test.offset, fault.Offset)
			}
			if test.name != "gzip cut" {
				assert.Len(t, packets, test.packets)
			}
		})
	}
}

// TestDropsBetweenPackets: packets may say how many were lost before them, and the statistics of
// their interface count the same losses.
func TestDropsBetweenPackets(t *testing.T) {
	dropped := func(of uint32, n byte) []byte {
		packet := enhanced(of, 7, []byte("abcde")) // with padding before the options
		content := append(packet[8:len(packet)-4:len(packet)-4], option(optionDroppedBefore, n, 0, 0, 0, 0, 0, 0, 0)...)
		return block(blockEnhancedPacket, content)
	}
	obsolete := block(blockPacket, append([]byte{0, 0, 5, 0}, enhanced(0, 9, []byte("abcd"))[12:32]...))
	unknown := block(blockPacket, append([]byte{0, 0, 255, 255}, enhanced(0, 9, []byte("abcd"))[12:32]...))
	statistics := block(blockStatistics, append(make([]byte, 12), option(optionDroppedBySystem, 6, 0, 0, 0, 0, 0, 0, 0)...))
	for name, test := range map[string]struct {
		blocks [][]byte
		want   uint64
	}{
		"enhanced":               {[][]byte{dropped(0, 3), dropped(0, 4), dropped(1, 1)}, 8},
		"obsolete":               {[][]byte{obsolete, unknown, obsolete}, 10},
		"and statistics":         {[][]byte{dropped(0, 3), statistics}, 6},
		"more than statistics":   {[][]byte{statistics, dropped(0, 200)}, 200},
		"none":                   {[][]byte{enhanced(0, 7, []byte("a"))}, 0},
		"of an earlier section":  {[][]byte{dropped(0, 3), section(), described(1), dropped(0, 2)}, 5},
		"of an interface beside": {[][]byte{dropped(1, 9), statistics}, 15},
	} {
		t.Run(name, func(t *testing.T) {
			file := bytes.Join(append([][]byte{section(), described(1), described(1)}, test.blocks...), nil)
			r, err := NewReader("", bytes.NewReader(file))
			require.NoError(t, err)
			var p Packet
			for err == nil {
				err = r.Next(&p)
			}
			require.ErrorIs(t, err, io.EOF)
			assert.Equal(t, test.want, r.Dropped())
		})
	}
}

// TestPacketsWithoutTime: a simple packet has no time, and 0 is the time of no capture.
func TestPacketsWithoutTime(t *testing.T) {
	pcap := sample().Pcap()
	for at := fileHeader; at < len(pcap); at += recordHeader + int(binary.LittleEndian.Uint32(pcap[at+8:])) {
		clear(pcap[at : at+8])
	}
	simple := block(blockSimplePacket, append(binary.LittleEndian.AppendUint32(nil, 2), 'x', 'y'))
	for name, file := range map[string][]byte{
		"pcap":     pcap,
		"enhanced": bytes.Join([][]byte{section(), described(1), enhanced(0, 0, []byte("a"))}, nil),
		"simple":   bytes.Join([][]byte{section(), described(1), simple}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			packets, err := read(t, file)
			require.NoError(t, err)
			require.NotEmpty(t, packets)
			for _, p := range packets {
				assert.True(t, p.Untimed)
				assert.Zero(t, p.Time)
			}
		})
	}
}

// TestFaultsSayWhatWasRead: no packet comes before the damage of an empty file.
func TestFaultsSayWhatWasRead(t *testing.T) {
	pcap := sample().Pcap()
	for name, test := range map[string]struct {
		file  []byte
		words string
	}{
		"empty":       {nil, "is empty"},
		"header only": {pcap[:20], "no packet of it was read"},
		"first cut":   {pcap[:30], "no packet of it was read"},
		"last cut":    {pcap[:len(pcap)-1], "the packets before were read"},
	} {
		_, err := read(t, test.file)
		assert.ErrorContains(t, err, test.words, name)
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	for range 1000 {
		k.Exchange("PING\r\n", "+PONG\r\n")
	}
	for name, file := range map[string][]byte{"pcap": c.Pcap(), "pcapng": c.PcapNG()} {
		r, err := NewReader(name, bytes.NewReader(file))
		require.NoError(t, err)
		var p Packet
		assert.Zero(t, testing.AllocsPerRun(1000, func() { require.NoError(t, r.Next(&p)) }), name)
	}
}

// FuzzReader: for any file, packets are within their bounds, and pcapgo reads the same packets from
// a pcap file.
func FuzzReader(f *testing.F) {
	f.Add(sample().Pcap())
	f.Add(sample().PcapNG())
	f.Add(swapped(sample().Pcap()))
	f.Add(gzipped(f, sample().Pcap()))
	f.Add(bytes.Join([][]byte{section(), described(276, option(optionResolution, 0x80|10)), enhanced(0, 9, []byte("a"))}, nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		packets, err := read(t, file)
		for _, p := range packets {
			assert.LessOrEqual(t, len(p.Data), MaxPacket)
			assert.GreaterOrEqual(t, p.Length, len(p.Data))
		}
		var fault *Fault
		if err != nil {
			require.ErrorAs(t, err, &fault)
		}
		compare(t, file, packets)
	})
}

func compare(t *testing.T, file []byte, packets []Packet) {
	t.Helper()
	other, err := pcapgo.NewReader(bytes.NewReader(file))
	if err != nil || len(file) > 2 && file[0] == 0x1f && file[1] == 0x8b {
		return
	}
	other.SetSnaplen(MaxPacket)
	for i := range packets {
		data, info, err := other.ReadPacketData()
		if err != nil {
			return // it is stricter
		}
		assert.True(t, bytes.Equal(data, packets[i].Data), "packet %d", i)
		assert.Equal(t, info.Length, packets[i].Length)
	}
}
