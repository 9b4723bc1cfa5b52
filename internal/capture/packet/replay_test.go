package packet_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/event"
)

func mustOpen(tb testing.TB, files ...string) *packet.Replay {
	tb.Helper()
	r, err := packet.OpenReplay(packet.ReplayOptions{
		Files:       files,
		ClientPorts: []uint16{capturetest.Port},
		Resolve:     func(event.Role, *event.Endpoints) bool { return true },
	})
	require.NoError(tb, err)
	return r
}

func mustSave(tb testing.TB, content []byte) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "test.pcap")
	require.NoError(tb, os.WriteFile(name, content, 0o600))
	return name
}

// seen is an event without the fields that all events of a test share.
type seen struct {
	Kind      event.Kind
	Direction event.Direction
	Conn      uint64
	Seq       uint32
	ReplySeq  uint32
	Len       uint32
	Data      string
}

func events(tb testing.TB, r *packet.Replay) []seen {
	tb.Helper()
	var all []seen
	for {
		var e event.Event
		err := r.Read(&e)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(tb, err)
		if e.Kind == event.Tick {
			continue // that of the first packet
		}
		all = append(all, seen{e.Kind, e.Direction, e.Conn, e.Seq, e.ReplySeq, e.Len, string(e.Data)})
	}
}

func replayed(tb testing.TB, c *capturetest.Capture) []seen {
	tb.Helper()
	return events(tb, mustOpen(tb, mustSave(tb, c.Pcap())))
}

func request(conn uint64, seq uint32, data string) seen {
	return seen{Kind: event.Data, Conn: conn, Seq: seq, Data: data}
}

func reply(conn uint64, seq uint32, data string) seen {
	return seen{Kind: event.Data, Direction: event.Reply, Conn: conn, Seq: seq, Data: data}
}

func life(kind event.Kind, conn uint64, seq, replySeq uint32) seen {
	return seen{Kind: kind, Conn: conn, Seq: seq, ReplySeq: replySeq}
}

func TestLifeOfAConnection(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Exchange("abc", "defg")
	k.KeepAlive()
	k.Close()
	assert.Equal(t, []seen{
		life(event.Open, 1, 1001, 2001),
		request(1, 1001, "abc"),
		reply(1, 2001, "defg"),
		life(event.HalfClosed, 1, 1004, 2005),
		life(event.PeerClosed, 1, 1004, 2005),
		life(event.Closed, 1, 1004, 2005),
	}, replayed(t, c))
}

func TestReset(t *testing.T) {
	for byClient, kind := range map[bool]event.Kind{true: event.HalfClosed, false: event.PeerClosed} {
		c := capturetest.New()
		k := c.Connect(40000)
		k.Request("abc")
		k.Reset(byClient)
		k.Reply("late")
		assert.Equal(t, []seen{
			life(event.Open, 1, 1001, 2001), request(1, 1001, "abc"), life(kind, 1, 1004, 2001), life(event.Closed, 1, 1004, 2001),
		}, replayed(t, c))
	}
}

// TestUrgent: the header says which byte is not part of the protocol, wherever it is in its
// segment.
func TestUrgent(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	gap := func(d event.Direction, seq, n uint32) seen {
		return seen{Kind: event.Gap, Direction: d, Conn: 1, Seq: seq, Len: n}
	}
	k.Urgent(true, "x", 1)
	k.Urgent(true, "abcx", 4)
	k.Urgent(false, "dexf", 3)
	k.Urgent(false, "xgh", 1)
	k.Urgent(true, "ij", 4) // of the next segment
	k.Urgent(true, "kxl", 2)
	k.Urgent(true, "m", 0) // of none
	k.Client -= 4
	k.Urgent(true, "kxl", 2) // again
	assert.Equal(t, []seen{
		life(event.Open, 1, 1001, 2001),
		gap(event.Request, 1001, 1),
		request(1, 1002, "abc"), gap(event.Request, 1005, 1),
		reply(1, 2001, "de"), gap(event.Reply, 2003, 1), reply(1, 2004, "f"),
		gap(event.Reply, 2005, 1), reply(1, 2006, "gh"),
		request(1, 1006, "ij"),
		request(1, 1008, "k"), gap(event.Request, 1009, 1), request(1, 1010, "l"),
		request(1, 1011, "m"),
	}, replayed(t, c))
}

// TestUrgentSnapped: the same if the capture cut off that byte.
func TestUrgentSnapped(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Urgent(true, "abcdefx", 7)
	k.Urgent(true, "abxdefg", 3)
	k.Urgent(true, "abcdxfg", 5)
	c.Snap(54 + 4)
	var got []event.Event
	r := mustOpen(t, mustSave(t, c.Pcap()))
	var e event.Event
	for r.Read(&e) == nil {
		if e.Kind == event.Data || e.Kind == event.Gap {
			got = append(got, event.Event{Kind: e.Kind, Seq: e.Seq, Len: max(e.Len, uint32(len(e.Data))), Reason: e.Reason})
		}
	}
	data := func(seq, n uint32) event.Event { return event.Event{Kind: event.Data, Seq: seq, Len: n} }
	gap := func(seq, n uint32, reason event.Reason) event.Event {
		return event.Event{Kind: event.Gap, Seq: seq, Len: n, Reason: reason}
	}
	assert.Equal(t, []event.Event{
		data(1001, 4), gap(1005, 2, event.Snapped), gap(1007, 1, event.Urgent),
		data(1008, 2), gap(1010, 1, event.Urgent), data(1011, 1), gap(1012, 3, event.Snapped),
		data(1015, 4), gap(1019, 1, event.Urgent), gap(1020, 2, event.Snapped),
	}, got)
}

func TestForgedReset(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Request("abc")
	forged := c.Join(40000, k.Client+1<<30, k.Server)
	forged.Reset(true)
	k.Reply("def")
	assert.Equal(t, reply(1, 2001, "def"), replayed(t, c)[2])
}

func TestMidStream(t *testing.T) {
	c := capturetest.New()
	k := c.Join(40000, 50, 60)
	k.KeepAlive()
	k.Exchange("abc", "def")
	assert.Equal(t, []seen{request(1, 50, "abc"), reply(1, 60, "def")}, replayed(t, c), "what is known of its beginning is nothing")
}

func TestPortReuse(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Exchange("a", "b")
	k.Close()
	k = c.ConnectAt(40000, 7000, 8000)
	k.Request("c")
	k = c.ConnectAt(40000, 17000, 18000) // and without an end before
	k.Request("d")
	assert.Equal(t, []seen{
		life(event.Open, 1, 1001, 2001), request(1, 1001, "a"), reply(1, 2001, "b"),
		life(event.HalfClosed, 1, 1002, 2002), life(event.PeerClosed, 1, 1002, 2002), life(event.Closed, 1, 1002, 2002),
		life(event.Open, 2, 7001, 8001), request(2, 7001, "c"), life(event.Vanished, 2, 7002, 8001),
		life(event.Open, 3, 17001, 18001), request(3, 17001, "d"),
	}, replayed(t, c))
}

// TestPortReuseUnseen: if neither the end of a connection nor the handshake of the next one was
// captured, the bytes of the next one must not count as old bytes of the first.
func TestPortReuseUnseen(t *testing.T) {
	const behind, ahead = 1001 - 1<<30, 1001 + 1<<30
	for _, test := range []struct {
		name string
		end  func(k *capturetest.Conn)
		seq  uint32
		want []event.Kind
	}{
		{"open, behind", func(*capturetest.Conn) {}, behind & 0xffffffff, []event.Kind{event.Vanished}},
		{"closed, behind", (*capturetest.Conn).Close, behind & 0xffffffff, []event.Kind{event.HalfClosed, event.PeerClosed, event.Closed}},
		{"closed, ahead", (*capturetest.Conn).Close, ahead, []event.Kind{event.HalfClosed, event.PeerClosed, event.Closed}},
		{"reset, behind", func(k *capturetest.Conn) { k.Reset(true) }, behind & 0xffffffff, []event.Kind{event.HalfClosed, event.Closed}},
		{"reset, ahead", func(k *capturetest.Conn) { k.Reset(true) }, ahead, []event.Kind{event.HalfClosed, event.Closed}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := capturetest.New()
			k := c.Connect(40000)
			k.Exchange("abc", "def")
			test.end(k)
			k = c.Join(40000, test.seq, 3<<30)
			k.Exchange("ghi", "jkl")
			var kinds []event.Kind
			all := replayed(t, c)[3:]
			for _, e := range all[:len(all)-2] {
				assert.EqualValues(t, 1, e.Conn)
				kinds = append(kinds, e.Kind)
			}
			assert.Equal(t, test.want, kinds)
			assert.Equal(t, []seen{request(2, test.seq, "ghi"), reply(2, 3<<30, "jkl")}, all[len(all)-2:])
		})
	}
}

// TestBackInTime: a second capture of the same traffic adds no events.
func TestBackInTime(t *testing.T) {
	c := capturetest.New()
	k := c.Join(40000, 1000, 2000)
	k.Exchange("abc", "def")
	k.Client += 1 << 27 // of which the second capture misses the most
	k.Exchange("ghi", "jkl")
	file := mustSave(t, c.Pcap())
	assert.Len(t, events(t, mustOpen(t, file, file)), 5, "the gap, and four pieces")
}

func TestForgedEnd(t *testing.T) {
	for name, off := range map[string]uint32{"far ahead": 1 << 30, "far behind": 3 << 30, "behind": 1<<32 - 2} {
		t.Run(name, func(t *testing.T) {
			c := capturetest.New()
			k := c.Connect(40000)
			k.Request("abc")
			c.Add(c.Frame(true, &layers.TCP{SrcPort: 40000, DstPort: capturetest.Port, Seq: k.Client + off, Ack: k.Server, ACK: true, FIN: true}, nil))
			k.Exchange("def", "ghi")
			all := replayed(t, c)
			assert.Contains(t, all, request(1, 1004, "def"))
			assert.Contains(t, all, reply(1, 2001, "ghi"))
		})
	}
}

func TestSnappedPacket(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Request("0123456789")
	c.Snap(14 + 20 + 20 + 4)
	assert.Equal(t, []seen{
		life(event.Open, 1, 1001, 2001), request(1, 1001, "0123"), {Kind: event.Gap, Conn: 1, Seq: 1005, Len: 6},
	}, replayed(t, c))
}

func TestMissingSegment(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.RequestIn(3, "aaabbbccc")
	k.Reply("ok")
	c.Packets = append(c.Packets[:4], c.Packets[5:]...)
	assert.Equal(t, []seen{
		life(event.Open, 1, 1001, 2001), request(1, 1001, "aaa"), request(1, 1007, "ccc"),
		{Kind: event.Gap, Conn: 1, Seq: 1004, Len: 3}, // as soon as the server acknowledges it
		reply(1, 2001, "ok"),
	}, replayed(t, c))
}

func TestSegmentSentAgain(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.RequestIn(3, "aaabbbccc")
	k.Reply("ok")
	p := c.Packets
	c.Packets = []capturetest.Packet{p[0], p[1], p[2], p[3], p[5], p[3], p[4], p[4], p[6]}
	assert.Equal(t, []seen{
		life(event.Open, 1, 1001, 2001), request(1, 1001, "aaa"), request(1, 1007, "ccc"), request(1, 1004, "bbb"), reply(1, 2001, "ok"),
	}, replayed(t, c), "what was seen already is left out, what fills a hole is not")
}

func TestFloodEvictsNothing(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Request("abc")
	for port := range 20000 {
		c.ConnectAt(port+10000, uint32(port), 0)
		c.Packets = c.Packets[:len(c.Packets)-1] // the client never answers
	}
	k.Reply("def")
	all := replayed(t, c)
	assert.Equal(t, reply(1, 2001, "def"), all[len(all)-1])
	assert.Len(t, all, 3)
}

func TestFastOpen(t *testing.T) {
	for _, test := range []struct {
		name  string
		taken int
		want  []seen
	}{
		{"taken", 3, []seen{life(event.Open, 1, 1001, 2001), request(1, 1001, "abc"), request(1, 1004, "def"), reply(1, 2001, "ok")}},
		{"taken in part", 2, []seen{life(event.Open, 1, 1001, 2001), request(1, 1001, "ab"), request(1, 1003, "cdef"), reply(1, 2001, "ok")}},
		{"not taken", 0, []seen{life(event.Open, 1, 1001, 2001), request(1, 1001, "abcdef"), reply(1, 2001, "ok")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := capturetest.New()
			k := c.FastOpen(40000, "abc", test.taken)
			c.Packets = append(c.Packets, c.Packets[1]) // the server's SYN again
			k.Request("abcdef"[test.taken:])
			c.Join(40000, 1001, 2001).Request("abc") // sent again
			k.Reply("ok")
			assert.Equal(t, test.want, replayed(t, c))
		})
	}
}

func TestFastOpenBeginsWithItsSYN(t *testing.T) {
	c := capturetest.New()
	c.FastOpen(40000, "abc", 3).Reply("ok")
	r := mustOpen(t, mustSave(t, c.Pcap()))
	var e event.Event
	for range 3 {
		require.NoError(t, r.Read(&e))
	}
	assert.Equal(t, "abc", string(e.Data))
	assert.Equal(t, capturetest.Begin.Add(capturetest.RTT).UnixNano(), e.Time)
}

func TestServerRole(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Exchange("a", "b")
	k.Reset(true)
	r, err := packet.OpenReplay(packet.ReplayOptions{
		Files:       []string{mustSave(t, c.Pcap())},
		ServerPorts: []uint16{capturetest.Port},
		Resolve:     func(role event.Role, _ *event.Endpoints) bool { return role == event.Server },
	})
	require.NoError(t, err)
	var kinds []event.Kind
	var e event.Event
	require.NoError(t, r.Read(&e))
	assert.Equal(t, event.Tick, e.Kind, "the time of the first packet")
	for r.Read(&e) == nil {
		kinds = append(kinds, e.Kind)
		assert.Equal(t, event.Server, e.Role)
		assert.Equal(t, "10.0.0.2:6379", e.Endpoints.LocalAddrPort().String())
		assert.Equal(t, "10.0.0.1:40000", e.Endpoints.RemoteAddrPort().String())
	}
	assert.Equal(t, []event.Kind{event.Open, event.Data, event.Data, event.PeerClosed, event.Closed}, kinds)
}

func TestFilesInTheOrderOfTime(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Exchange("a", "b")
	second := capturetest.New()
	second.Now = c.Now
	k = second.Join(40000, k.Client, k.Server)
	k.Exchange("c", "d")
	assert.Equal(t, []seen{
		life(event.Open, 1, 1001, 2001), request(1, 1001, "a"), reply(1, 2001, "b"), request(1, 1002, "c"), reply(1, 2002, "d"),
	}, events(t, mustOpen(t, mustSave(t, second.Pcap()), mustSave(t, c.PcapNG()))))
}

func TestDamagedFile(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Request("a")
	file := c.Pcap()
	r := mustOpen(t, mustSave(t, file[:len(file)-1]), mustSave(t, file))
	assert.Len(t, events(t, r), 2, "the other file is read all the same")
	assert.ErrorContains(t, r.Fault(), "ends within a packet")

	_, err := packet.OpenReplay(packet.ReplayOptions{Files: []string{mustSave(t, []byte("no capture")), "/does/not/exist"}})
	assert.ErrorContains(t, err, "not a capture file")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestStatsOfAReplay(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Exchange("a", "b")
	c.Pause(time.Second)
	c.Add([]byte{0: 1, 12: 8, 13: 0, 14: 0x41, 40: 0})
	r := mustOpen(t, mustSave(t, c.Pcap()))
	events(t, r)
	stats := r.Stats()
	assert.EqualValues(t, 3, stats.Events)
	assert.EqualValues(t, 2, stats.Bytes)
	assert.EqualValues(t, 1, stats.Lost["malformed"])
	assert.Equal(t, time.Second+4*capturetest.RTT, r.Span())
	packets, octets, size := r.Progress()
	assert.EqualValues(t, 6, packets)
	assert.Equal(t, size, octets)
}

// FuzzReplay: for any capture, events are consistent, and the number of packets bounds their
// number.
func FuzzReplay(f *testing.F) {
	for _, make := range captures {
		f.Add(make().Pcap())
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := packet.OpenReplay(packet.ReplayOptions{
			Files: []string{"-"}, Stdin: bytes.NewReader(file), ClientPorts: []uint16{capturetest.Port}, ServerPorts: []uint16{40000},
			Resolve: func(role event.Role, e *event.Endpoints) bool { return role == event.Client },
		})
		if err != nil {
			return
		}
		opened := map[uint64]bool{}
		var e event.Event
		for {
			err := r.Read(&e)
			if err != nil {
				assert.ErrorIs(t, err, io.EOF)
				break
			}
			if e.Kind == event.Tick {
				continue
			}
			assert.NotZero(t, e.Conn)
			assert.Equal(t, e.Kind == event.Data, len(e.Data) > 0)
			assert.Equal(t, e.Kind == event.Gap, e.Len > 0)
			assert.False(t, opened[e.Conn], "an event after the end of its connection")
			opened[e.Conn] = e.Kind == event.Closed
		}
		packets, _, _ := r.Progress()
		assert.LessOrEqual(t, r.Stats().Events, 24*packets)
	})
}

// captures are the seeds of FuzzReplay.
var captures = []func() *capturetest.Capture{
	func() *capturetest.Capture {
		c := capturetest.New()
		k := c.Connect(40000)
		k.Exchange("PING\r\n", "+PONG\r\n")
		k.Close()
		return c
	},
	func() *capturetest.Capture {
		c := capturetest.New()
		c.IPv6 = true
		k := c.ConnectAt(40000, 1<<32-3, 1<<32-2)
		k.RequestIn(2, "PING\r\n")
		k.Reset(false)
		c.Packets[4], c.Packets[5] = c.Packets[5], c.Packets[4]
		c.Snap(76)
		return c
	},
	func() *capturetest.Capture {
		c := capturetest.New()
		c.FastOpen(40000, "PING\r\n", 6).Reply("+PONG\r\n")
		return c
	},
}
