package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
)

// The captures that people bring. Each test is the smallest of a kind.

func mustSave(tb testing.TB, file []byte) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "capture.pcap")
	require.NoError(tb, os.WriteFile(name, file, 0o600))
	return name
}

// replayJSON returns the result of a replay.
func replayJSON(tb testing.TB, args ...string) (status int, result outcome, stderr string) {
	tb.Helper()
	status, text, stderr := replayFile(tb, append([]string{"--output", "json"}, args...)...)
	require.NoError(tb, json.Unmarshal([]byte(text), &result), stderr)
	return status, result, stderr
}

// total returns the commands of a result and their errors.
func (o outcome) total() (commands, errors float64) {
	for _, c := range o.Commands {
		commands, errors = commands+c.Count, errors+c.Errors
	}
	return commands, errors
}

// assertTotal checks the commands of a result and their errors.
func assertTotal(tb testing.TB, o outcome, commands, errors float64) {
	tb.Helper()
	gotCommands, gotErrors := o.total()
	assert.Equal(tb, [2]float64{commands, errors}, [2]float64{gotCommands, gotErrors})
}

func TestUnreadableFilesBesideGoodOnes(t *testing.T) {
	c := capturetest.New()
	c.Connect(40000).Exchange(set, ok)
	good, empty := mustSave(t, c.Pcap()), mustSave(t, nil)
	for _, args := range [][]string{{good, empty}, {empty, good}, {good, mustSave(t, []byte("no capture"))}, {good, "/does/not/exist"}} {
		status, result, stderr := replayJSON(t, args...)
		assert.Equal(t, 1, status)
		assertTotal(t, result, 1, 0)
		assert.NotContains(t, stderr, "the packets before were read", "there were none")
		assert.NotContains(t, stderr, "nothing was lost", "that is not known")
	}
	status, _, stderr := replayJSON(t, good, empty)
	assert.Equal(t, 1, status)
	assert.Contains(t, stderr, "is empty")
	status, stdout, stderr := replayFile(t, empty, "/does/not/exist")
	assert.Equal(t, 1, status)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "is empty")
	assert.Contains(t, stderr, "no such file")
}

func TestNoQuantilesWithoutDurations(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Exchange("PING\r\n", "+PONG\r\n")
	k.Request(capturetest.Command("CLIENT", "REPLY", "OFF"))
	k.Request(set)
	k.Close()
	file := mustSave(t, c.Pcap())
	_, result, _ := replayJSON(t, file)
	i := slices.IndexFunc(result.Commands, func(c commandResult) bool { return c.Command == "set" })
	require.GreaterOrEqual(t, i, 0)
	assert.Nil(t, result.Commands[i].P50)
	assert.Nil(t, result.Commands[i].P99)
	assert.Nil(t, result.Commands[i].Max)
	_, table, _ := replayFile(t, "--output", "table", file)
	assert.NotContains(t, table, "10.00s")
}

// directions returns the packets of either direction as files of their own.
func directions(c *capturetest.Capture) (requests, replies *capturetest.Capture) {
	requests, replies = capturetest.New(), capturetest.New()
	for _, p := range c.Packets {
		if binary.BigEndian.Uint16(p.Data[14+20+2:]) == capturetest.Port {
			requests.Packets = append(requests.Packets, p)
		} else {
			replies.Packets = append(replies.Packets, p)
		}
	}
	return requests, replies
}

func TestFilesOfOneDirection(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	for range 300 {
		k.Exchange(set, ok)
		c.Pause(10 * time.Millisecond)
	}
	k.Exchange(capturetest.Command("LPUSH", "k", "v"), "-WRONGTYPE x\r\n")
	k.Close()
	requests, replies := directions(c)
	a, b := mustSave(t, requests.Pcap()), mustSave(t, replies.PcapNG())
	for _, files := range [][]string{{a, b}, {b, a}} {
		status, result, stderr := replayJSON(t, files...)
		assert.Zero(t, status, stderr)
		assertTotal(t, result, 301, 1)
		assert.Empty(t, result.Losses)
		assert.InDelta(t, 0.00005, *result.Commands[0].P50, 0.0001)
	}

	for file, only := range map[string]string{a: "requests", b: "replies"} {
		status, result, stderr := replayJSON(t, file)
		assert.Equal(t, 3, status)
		assert.Contains(t, stderr, only+" only (capture both directions")
		assert.EqualValues(t, 1, result.Summary.OneWay[only])
		assert.NotContains(t, stderr, "nothing was lost")
	}
}

func TestSlicedPackets(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Exchange(set, ok)
	k.Exchange(capturetest.Command("SET", "k", strings.Repeat("x", 1000)), ok)
	k.Exchange(get, bulk)
	k.Close()
	c.Snap(14 + 20 + 20 + 128)
	for i := range c.Packets {
		c.Packets[i].Length = len(c.Packets[i].Data) // the switch that sliced them leaves no trace
	}
	status, result, stderr := replayJSON(t, mustSave(t, c.Pcap()))
	assert.Zero(t, status, stderr)
	assertTotal(t, result, 3, 0)
	assert.Empty(t, result.Losses)
}

func TestPacketsWithoutTime(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Exchange(set, ok)
	k.Exchange(get, bulk)
	for i := range c.Packets {
		c.Packets[i].Time = time.Unix(0, 0)
	}
	status, result, stderr := replayJSON(t, mustSave(t, c.Pcap()))
	assert.Zero(t, status, stderr)
	assertTotal(t, result, 2, 0)
	for _, row := range result.Commands {
		assert.Nil(t, row.P50, row.Command)
		assert.Zero(t, row.Rate, row.Command)
	}
	assert.EqualValues(t, len(c.Packets), result.Summary.PacketsOf.Untimed)
	assert.Contains(t, stderr, "without a time")
}

func TestClockThatStepsBack(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	for i := range 20 {
		if i == 10 {
			c.Pause(-time.Hour)
		}
		k.Exchange(set, ok)
		c.Pause(500 * time.Millisecond)
	}
	status, result, stderr := replayJSON(t, mustSave(t, c.Pcap()))
	assert.Zero(t, status, stderr)
	assertTotal(t, result, 20, 0)
	assert.InDelta(t, 2, result.Commands[0].Rate, 0.3, "20 commands in ten seconds")
	assert.Equal(t, 1, result.Summary.ClockSteps)
	assert.Contains(t, stderr, "set back 1 times")
}

// TestClockThatStepsBackInMidStream: after the step the silence counts again.
func TestClockThatStepsBackInMidStream(t *testing.T) {
	c := capturetest.New()
	k := c.Join(40000, 100, 200)
	k.Exchange(set, ok)
	c.Pause(-time.Hour)
	k.Exchange(set, ok)
	c.Pause(time.Second)
	k.Exchange(set, ok)
	_, result, _ := replayJSON(t, mustSave(t, c.Pcap()))
	assertTotal(t, result, 1, 0)
}

// TestSilentSinceTheBeginning: a connection of which nothing was captured for seconds awaits no
// reply.
func TestSilentSinceTheBeginning(t *testing.T) {
	c := capturetest.New()
	c.Add(c.Frame(true, &layers.TCP{SrcPort: 50000, DstPort: 443, ACK: true}, nil))
	c.Pause(5 * time.Second)
	for port := range 51 {
		c.Join(40000+port, uint32(port)<<20, 77).Exchange(set, ok)
	}
	_, result, _ := replayJSON(t, mustSave(t, c.Pcap()))
	assertTotal(t, result, 51, 0)
	assert.Empty(t, result.Losses)
}

func TestDropsOfTheCapture(t *testing.T) {
	c := capturetest.New()
	c.Connect(40000).Exchange(set, ok)
	file := c.PcapNG()
	// An option behind the last packet: 7 were lost before it.
	at := len(file) - 4
	length := binary.LittleEndian.Uint32(file[at:]) + 12
	start := at + 4 - int(length) + 12
	file = append(file[:at:at], 4, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0)
	file = binary.LittleEndian.AppendUint32(file, length)
	binary.LittleEndian.PutUint32(file[start+4:], length)
	status, result, stderr := replayJSON(t, mustSave(t, file))
	assert.Zero(t, status, stderr)
	assertTotal(t, result, 1, 0)
	assert.Contains(t, result.Losses, lossResult{"capture_lost_events_total", "reason=dropped_by_capture", 7})
	assert.NotContains(t, stderr, "nothing was lost")
}

func TestNothingOfAnObservedPort(t *testing.T) {
	redis := capturetest.New()
	redis.Connect(40000).Exchange(set, ok)
	http := capturetest.New()
	http.Connect(40000).Exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n")
	headers := capturetest.New()
	headers.Connect(40000).Exchange(set, ok)
	headers.Snap(14 + 20 + 20)
	tls := capturetest.New()
	tls.Connect(40000).Exchange("\x16\x03\x01\x02\x00\x01\x00", "\x15\x03\x03\x00\x02\x02\x28")
	snapped := capturetest.New()
	snapped.Connect(40000).Exchange(set, ok)
	snapped.Snap(14 + 20 + 10)
	arp := capturetest.New()
	arp.Add(append(make([]byte, 12), 0x08, 0x06, 0, 1))
	for name, test := range map[string]struct {
		capture *capturetest.Capture
		ports   string
		words   string
	}{
		"other port":       {redis, "6380", "(--ports 6379)"},
		"other protocol":   {http, "6379", "another protocol"},
		"other port, HTTP": {http, "6380", "name the ports of Redis with --ports"},
		"headers":          {headers, "6379", "tcpdump -s 0"},
		"half of headers":  {snapped, "6379", "within their headers (capture whole packets: tcpdump -s 0)"},
		"TLS":              {tls, "6379", "TLS"},
		"no TCP":           {arp, "6379", "none is TCP"},
		"no packet":        {capturetest.New(), "6379", "no packets"},
	} {
		t.Run(name, func(t *testing.T) {
			status, result, stderr := replayJSON(t, "--ports", test.ports, mustSave(t, test.capture.Pcap()))
			assert.Equal(t, 3, status)
			assert.Contains(t, stderr, test.words)
			assert.Contains(t, result.Nothing, test.words)
			assert.NotContains(t, stderr, "nothing was lost")
		})
	}
}

func TestUnsupportedLinkType(t *testing.T) {
	c := capturetest.New()
	c.Connect(40000).Exchange(set, ok)
	file := c.Pcap()
	binary.LittleEndian.PutUint32(file[20:], 147) // for private use
	status, result, stderr := replayJSON(t, mustSave(t, file))
	assert.Equal(t, 3, status)
	assert.Contains(t, stderr, "the link type of the captures is not supported")
	assert.Contains(t, result.Losses, lossResult{"capture_lost_events_total", "reason=link_type", 5})
}

func TestSummaryOfOtherPorts(t *testing.T) {
	c := capturetest.New()
	c.Connect(40000).Exchange(set, ok)
	for port, segments := range map[int]int{443: 3, 80: 2, 6380: 1, 22: 1, 5432: 4} {
		for i := range segments {
			payload := "x"
			if port == 6380 {
				payload = set
			}
			c.Add(c.Frame(true, &layers.TCP{SrcPort: layers.TCPPort(50000 + i), DstPort: layers.TCPPort(port), ACK: true}, []byte(payload)))
		}
	}
	status, result, stderr := replayJSON(t, mustSave(t, c.Pcap()))
	assert.Zero(t, status, stderr)
	assert.Equal(t, []portResult{{6380, 1, true}, {5432, 4, false}, {443, 3, false}}, result.Summary.OtherPorts)
	assert.EqualValues(t, 11, result.Summary.PacketsOf.OtherPorts)
	assert.EqualValues(t, 5, result.Summary.PacketsOf.ObservedPorts)
	assert.Contains(t, stderr, "5 of observed ports, 11 of other TCP ports (6380: 1, speaks RESP; 5432: 4; 443: 3)")
	assert.Equal(t, map[string]uint64{"redis": 1}, result.Summary.Connections)
}

// TestReplyBeforeItsRequest: two queues of a network card can swap a request and its reply.
func TestReplyBeforeItsRequest(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	for range 3 {
		k.Exchange(set, ok)
	}
	p := c.Packets
	p[5].Data, p[6].Data = p[6].Data, p[5].Data
	p[5].Length, p[6].Length = p[6].Length, p[5].Length
	status, result, stderr := replayJSON(t, mustSave(t, c.Pcap()))
	assert.Zero(t, status, stderr)
	assertTotal(t, result, 3, 0)
	assert.Empty(t, result.Losses)
	assert.Contains(t, stderr, "by at least 100µs")
	assert.InDelta(t, 0.0001, result.Summary.ClockSkew, 1e-9)
	_, text, _ := replayFile(t, mustSave(t, c.Pcap()))
	assert.Contains(t, text, `redis_command_duration_seconds_sum{command="set",name="default"} 0.0002`)
}

// busy is traffic of several connections at once, with errors and pipelines. The handshakes are
// optional.
func busy(handshakes bool) (c *capturetest.Capture, commands, errors float64) {
	c = capturetest.New()
	var conns []*capturetest.Conn
	for i := range 5 {
		if handshakes {
			conns = append(conns, c.ConnectAt(40000+i, uint32(i+1)<<28, uint32(i+7)<<27))
		} else {
			conns = append(conns, c.Join(40000+i, uint32(i+1)<<28, uint32(i+7)<<27))
		}
	}
	c.Pause(3 * time.Second)
	for round := range 200 {
		for i, k := range conns {
			switch (round + i) % 4 {
			case 0, 1:
				k.Exchange(set, ok)
				commands++
			case 2:
				k.Request(strings.Repeat(get, 5))
				k.Reply(strings.Repeat(bulk, 5))
				commands += 5
			case 3:
				k.Exchange(capturetest.Command("LPUSH", "k", "v"), "-WRONGTYPE x\r\n")
				commands, errors = commands+1, errors+1
			}
		}
		c.Pause(3 * time.Millisecond)
	}
	if handshakes {
		for _, k := range conns {
			k.Close()
		}
	}
	return c, commands, errors
}

// TestClocksThatDiffer: the clocks of the two directions differ, in two files or in one.
func TestClocksThatDiffer(t *testing.T) {
	for _, skew := range []time.Duration{-time.Second, -300 * time.Millisecond, -time.Millisecond, 0, time.Millisecond, 300 * time.Millisecond, time.Second} {
		c, commands, errors := busy(true)
		requests, replies := directions(c)
		for i := range replies.Packets {
			replies.Packets[i].Time = replies.Packets[i].Time.Add(skew)
		}
		both := capturetest.New()
		both.Packets = slices.Concat(requests.Packets, replies.Packets)
		slices.SortStableFunc(both.Packets, func(a, b capturetest.Packet) int { return a.Time.Compare(b.Time) })
		for name, files := range map[string][]string{
			"two files": {mustSave(t, requests.Pcap()), mustSave(t, replies.Pcap())},
			"one file":  {mustSave(t, both.Pcap())},
		} {
			t.Run(name+" "+skew.String(), func(t *testing.T) {
				status, result, stderr := replayJSON(t, files...)
				assert.Zero(t, status, stderr)
				assertTotal(t, result, commands, errors)
				assert.Empty(t, result.Losses)
				for _, row := range result.Commands {
					assert.LessOrEqual(t, *row.P99, 0.0005+max(0, skew.Seconds())*1.1+0.005, row.Command)
				}
				switch skew {
				case 0:
					assert.NotContains(t, stderr, "clocks")
				case time.Millisecond: // the clients think for longer, so nothing shows it
				default:
					assert.InDelta(t, skew.Abs().Seconds(), result.Summary.ClockSkew, 0.004)
					assert.Contains(t, stderr, "clocks")
				}
			})
		}
	}
}

// TestClocksThatDifferInMidStream: the same where no beginning was captured. What passes before both
// directions are seen may be lost, but that is told.
func TestClocksThatDifferInMidStream(t *testing.T) {
	for _, skew := range []time.Duration{-time.Second, -time.Millisecond, time.Millisecond, time.Second} {
		c, commands, errors := busy(false)
		requests, replies := directions(c)
		for i := range replies.Packets {
			replies.Packets[i].Time = replies.Packets[i].Time.Add(skew)
		}
		t.Run(skew.String(), func(t *testing.T) {
			_, result, stderr := replayJSON(t, mustSave(t, requests.Pcap()), mustSave(t, replies.Pcap()))
			gotCommands, gotErrors := result.total()
			assert.LessOrEqual(t, gotCommands, commands)
			assert.LessOrEqual(t, gotErrors, errors)
			if gotCommands < commands {
				assert.NotEmpty(t, result.Losses, stderr)
			}
		})
	}
}

// disturbance is how a capture differs from the traffic.
type disturbance struct {
	skew                   time.Duration // of the replies
	lost, twice, reordered float64       // shares of the packets
	far                    int           // by how many packets they are reordered at most
}

func (d disturbance) apply(c *capturetest.Capture, dice *rand.Rand) *capturetest.Capture {
	disturbed := capturetest.New()
	for _, p := range c.Packets {
		if dice.Float64() < d.lost {
			continue
		}
		if binary.BigEndian.Uint16(p.Data[14+20:]) == capturetest.Port {
			p.Time = p.Time.Add(d.skew)
		}
		disturbed.Packets = append(disturbed.Packets, p)
		if dice.Float64() < d.twice {
			p.Time = p.Time.Add(3 * time.Microsecond)
			disturbed.Packets = append(disturbed.Packets, p)
		}
	}
	all := disturbed.Packets
	slices.SortStableFunc(all, func(a, b capturetest.Packet) int { return a.Time.Compare(b.Time) })
	for i := range all {
		if j := i + 1 + dice.IntN(d.far+1); dice.Float64() < d.reordered && j < len(all) {
			all[i], all[j] = all[j], all[i]
			all[i].Time, all[j].Time = all[j].Time, all[i].Time
		}
	}
	return disturbed
}

// TestDisturbedCaptures: no form of a capture shows more than there was, and what is lost is told.
func TestDisturbedCaptures(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("REDIS_OBSERVER_TEST_SEED"); text != "" {
		_, err := fmt.Sscan(text, &seed)
		require.NoError(t, err)
	}
	t.Logf("REDIS_OBSERVER_TEST_SEED=%d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	for round := range 60 {
		c, commands, errors := busy(round%3 > 0)
		_, undisturbed, _ := replayJSON(t, mustSave(t, c.Pcap()))
		d := disturbance{}
		if round%2 == 0 {
			d.skew = time.Duration(dice.Int64N(int64(2*time.Second))) - time.Second
		}
		if round%5 > 1 {
			d.lost = dice.Float64() * 0.05
		}
		if round%5 < 3 {
			d.twice, d.reordered, d.far = dice.Float64(), dice.Float64()*0.2, dice.IntN(4)
		}
		disturbed := d.apply(c, dice).Pcap()
		_, result, stderr := replayJSON(t, mustSave(t, disturbed))
		gotCommands, gotErrors := result.total()
		assert.LessOrEqual(t, gotCommands, commands, "%+v", d)
		assert.LessOrEqual(t, gotErrors, errors, "%+v", d)
		if lost, _ := undisturbed.total(); gotCommands < min(commands, lost) {
			assert.True(t, len(result.Losses) > 0 || result.Outstanding > 0, "%+v: %v of %v\n%s", d, gotCommands, commands, stderr)
		}
		if d.reordered == 0 {
			most := latencies(t, c.Pcap()) + gotCommands*max(0, d.skew.Seconds())
			assert.LessOrEqual(t, latencies(t, disturbed), most+1e-9)
		}
		if t.Failed() {
			t.Fatalf("round %d: %+v\n%s", round, d, stderr)
		}
	}
}

// latencies returns the sum of all latencies in seconds.
func latencies(tb testing.TB, file []byte) (sum float64) {
	tb.Helper()
	_, text, _ := replayFile(tb, mustSave(tb, file))
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "redis_command_duration_seconds_sum") {
			one, err := strconv.ParseFloat(strings.Fields(line)[1], 64)
			require.NoError(tb, err)
			sum += one
		}
	}
	return sum
}

// delayed is translated by two places whose copies are far apart.
func delayed(c *capturetest.Capture) *capturetest.Capture {
	both := capturetest.New()
	for _, p := range c.Packets {
		both.Packets = append(both.Packets, p, readdressed(p, service, pod, 150*time.Millisecond))
	}
	slices.SortStableFunc(both.Packets, func(a, b capturetest.Packet) int { return a.Time.Compare(b.Time) })
	return both
}

// readdressed returns a packet with another address of one end.
func readdressed(p capturetest.Packet, from, to string, after time.Duration) capturetest.Packet {
	data := slices.Clone(p.Data)
	for _, at := range []int{14 + 12, 14 + 16} {
		if netip.AddrFrom4([4]byte(data[at:])).String() == from {
			copy(data[at:], netip.MustParseAddr(to).AsSlice())
		}
	}
	return capturetest.Packet{Time: p.Time.Add(after), Data: data, Length: p.Length}
}

const (
	service = "10.0.0.2" // that of capturetest
	pod     = "10.244.2.7"
)

// translated shows each packet twice: requests first with the address of the service, replies first
// with that of the pod.
func translated(c *capturetest.Capture) *capturetest.Capture {
	both := capturetest.New()
	for _, p := range c.Packets {
		first, second := p, readdressed(p, service, pod, 5*time.Microsecond)
		if binary.BigEndian.Uint16(p.Data[14+20:]) == capturetest.Port {
			first, second = readdressed(p, service, pod, 0), p
			second.Time = second.Time.Add(5 * time.Microsecond)
		}
		both.Packets = append(both.Packets, first, second)
	}
	return both
}

func mustConfigure(tb testing.TB, text string) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "observer.yaml")
	require.NoError(tb, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// TestSeenTwiceUnderTwoAddresses: such a connection counts once, under the address that has a name.
func TestSeenTwiceUnderTwoAddresses(t *testing.T) {
	one := func(handshake bool) (*capturetest.Capture, float64, float64) {
		c := capturetest.New()
		k := c.Join(40000, 123456, 654321)
		if handshake {
			k = c.ConnectAt(40000, 123456, 654321)
		}
		k.Exchange(set, ok)
		if handshake {
			k.Close()
		}
		return c, 1, 0
	}
	for name, test := range map[string]struct {
		make      func(handshakes bool) (*capturetest.Capture, float64, float64)
		handshake bool
		merged    uint64
		show      func(*capturetest.Capture) *capturetest.Capture
	}{
		"one command":                        {one, true, 1, translated},
		"five connections":                   {busy, true, 5, translated},
		"five connections in mid-stream":     {busy, false, 5, translated},
		"five connections, copies far apart": {busy, true, 5, delayed},
	} {
		c, _, _ := test.make(test.handshake)
		_, undisturbed, _ := replayJSON(t, mustSave(t, c.Pcap()))
		commands, errors := undisturbed.total()
		file := mustSave(t, test.show(c).Pcap())
		t.Run(name, func(t *testing.T) {
			for of, configuration := range map[string]string{
				"default": "ports: [6379]\n",
				"cache":   "endpoints: [{name: cache, addresses: [\"" + service + ":6379\"]}]\n",
				"pods":    "endpoints: [{name: pods, addresses: [\"10.244.0.0/16:6379\"]}]\n",
			} {
				status, result, stderr := replayJSON(t, "--config", mustConfigure(t, configuration), file)
				assert.Zero(t, status, stderr)
				assertTotal(t, result, commands, errors)
				for _, row := range result.Commands {
					assert.Equal(t, of, row.Name)
				}
				assert.Equal(t, len(undisturbed.Losses), len(result.Losses), stderr)
				assert.Equal(t, test.merged, result.Summary.Merged)
				assert.Contains(t, stderr, "under a second address")
				assert.Equal(t, undisturbed.Summary.Connections, result.Summary.Connections)
			}
		})
	}
}

// TestConnectionsThatLookAlike: equal streams are two connections, unless the offsets of both
// directions are equal too and the packets come in step.
func TestConnectionsThatLookAlike(t *testing.T) {
	other := func(c *capturetest.Capture, after time.Duration) *capturetest.Capture {
		both := capturetest.New()
		for _, p := range c.Packets {
			both.Packets = append(both.Packets, p, readdressed(p, service, pod, after))
		}
		slices.SortStableFunc(both.Packets, func(a, b capturetest.Packet) int { return a.Time.Compare(b.Time) })
		return both
	}
	c, commands, errors := busy(true)
	shifted, _, _ := busy(true)
	for i := range shifted.Packets { // other initial offsets
		data := shifted.Packets[i].Data
		for _, at := range []int{14 + 20 + 4, 14 + 20 + 8} {
			if i > 0 || at == 14+20+4 {
				binary.BigEndian.PutUint32(data[at:], binary.BigEndian.Uint32(data[at:])+77777)
			}
		}
	}
	beside := capturetest.New()
	for i, p := range c.Packets {
		beside.Packets = append(beside.Packets, p, readdressed(shifted.Packets[i], service, pod, 5*time.Microsecond))
	}
	midStream, _, _ := busy(false)
	_, undisturbed, _ := replayJSON(t, mustSave(t, midStream.Pcap()))
	lost, lostErrors := undisturbed.total()
	for name, test := range map[string]struct {
		capture          *capturetest.Capture
		alike            bool
		commands, errors float64
	}{
		"equal bytes, other offsets":         {beside, false, 2 * commands, 2 * errors},
		"beginning not seen, not in step":    {other(midStream, 150*time.Microsecond), true, 2 * lost, 2 * lostErrors},
		"equal in all, one behind the other": {other(c, 10*time.Minute), false, 2 * commands, 2 * errors},
	} {
		t.Run(name, func(t *testing.T) {
			status, result, stderr := replayJSON(t, mustSave(t, test.capture.Pcap()))
			assert.Zero(t, status, stderr)
			assertTotal(t, result, test.commands, test.errors)
			assert.Zero(t, result.Summary.Merged)
			assert.Equal(t, test.alike, result.Summary.Alike > 0)
			assert.Equal(t, test.alike, strings.Contains(stderr, "count separately"))
		})
	}
}

// TestTunnel: a connection in a tunnel counts under its own addresses.
func TestTunnel(t *testing.T) {
	c, commands, errors := busy(true)
	outer := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2}}
	udp := &layers.UDP{SrcPort: 50000, DstPort: 4789}
	require.NoError(t, udp.SetNetworkLayerForChecksum(outer))
	link := &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}
	for i := range c.Packets {
		p := &c.Packets[i]
		p.Data = capturetest.Serialize(link, outer, udp, &layers.VXLAN{ValidIDFlag: true, VNI: 7}, gopacket.Payload(p.Data))
		p.Length = len(p.Data)
	}
	configuration := mustConfigure(t, "endpoints: [{name: cache, addresses: [\""+service+":6379\"]}]\n")
	status, result, stderr := replayJSON(t, "--config", configuration, mustSave(t, c.Pcap()))
	assert.Zero(t, status, stderr)
	assertTotal(t, result, commands, errors)
	assert.Equal(t, "cache", result.Commands[0].Name)
	assert.Empty(t, result.Losses)
	assert.EqualValues(t, len(c.Packets), result.Summary.PacketsOf.InTunnels)
	assert.Contains(t, stderr, "in tunnels")
}

// moveTo gives the server of a capture another port.
func moveTo(c *capturetest.Capture, port uint16) {
	for i := range c.Packets {
		data := c.Packets[i].Data
		for _, at := range []int{14 + 20, 14 + 20 + 2} {
			if binary.BigEndian.Uint16(data[at:]) == capturetest.Port {
				binary.BigEndian.PutUint16(data[at:], port)
			}
		}
	}
}

// TestPortsAuto: whatever speaks RESP is observed, from its handshake on.
func TestPortsAuto(t *testing.T) {
	c, commands, errors := busy(true)
	moveTo(c, 7000)
	web := capturetest.New()
	web.Connect(50000).Exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n")
	moveTo(web, 8080)
	file := mustSave(t, c.Pcap())
	status, result, stderr := replayJSON(t, "--ports", "auto", file, mustSave(t, web.Pcap()))
	assert.Zero(t, status, stderr)
	assertTotal(t, result, commands, errors)
	assert.Empty(t, result.Losses)
	assert.Equal(t, []uint16{7000}, result.Summary.Discovered)
	assert.Contains(t, stderr, "other ports that speak RESP, observed too: 7000")
	assert.Contains(t, stderr, "nothing was lost")
	assert.Equal(t, map[string]uint64{"redis": 5}, result.Summary.Connections)

	status, _, stderr = replayJSON(t, "--ports", "auto", mustSave(t, web.Pcap()))
	assert.Equal(t, 3, status)
	assert.Contains(t, stderr, "no request that shows its port was sent to any other")
	assert.NotContains(t, stderr, "--ports auto", "that was done")

	// Endpoints keep their names.
	configuration := mustConfigure(t, "endpoints: [{name: cache, addresses: [\""+service+":7000\"]}]\n")
	_, result, _ = replayJSON(t, "--config", configuration, "--ports", "auto", file)
	assertTotal(t, result, commands, errors)
	assert.Equal(t, "cache", result.Commands[0].Name)
}

// TestPortsAutoInline: inline commands show no port. On that of the configuration they count; what
// they lack on another one is told.
func TestPortsAutoInline(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Exchange("PING\r\nPING\r\n", "+PONG\r\n+PONG\r\n")
	k.Close()
	status, result, stderr := replayJSON(t, "--ports", "auto", mustSave(t, c.Pcap()))
	assert.Zero(t, status, stderr)
	assertTotal(t, result, 2, 0)
	assert.Contains(t, stderr, "nothing was lost")

	c.Connect(40001).Exchange(set, ok)
	moveTo(c, 7000)
	status, result, stderr = replayJSON(t, "--ports", "auto", mustSave(t, c.Pcap()))
	assert.Zero(t, status, stderr)
	assertTotal(t, result, 1, 0)
	assert.EqualValues(t, 2, result.Summary.Undecided)
	assert.Contains(t, stderr, "2 packets with payload came before the first request that showed that; what they carry is not counted (--ports 7000)")
	assert.NotContains(t, stderr, "nothing was lost")
}

// TestFollow: a file that grows is read until the user interrupts.
func TestFollow(t *testing.T) {
	c, commands, errors := busy(true)
	content := c.Pcap()
	name := mustSave(t, nil)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	written := make(chan error, 1)
	go func() {
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		for rest := content; err == nil && len(rest) > 0; {
			n := min(len(rest), 9999) // within packets too
			_, err = file.Write(rest[:n])
			rest = rest[n:]
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(500 * time.Millisecond)
		written <- err
		interrupt()
	}()
	var out, errs bytes.Buffer
	status := program{}.run(ctx, []string{"replay", "--follow", "--output", "json", name}, &out, &errs)
	require.NoError(t, <-written)
	assert.Zero(t, status, errs.String())
	var result outcome
	require.NoError(t, json.Unmarshal(out.Bytes(), &result))
	assertTotal(t, result, commands, errors)
	assert.Empty(t, result.Losses)

	status, _, stderr := replayFile(t, "--follow", name, name)
	assert.Equal(t, 1, status)
	assert.Contains(t, stderr, "one file")
}

// TestStream: what tcpdump -w - writes is read as it comes.
func TestStream(t *testing.T) {
	c, commands, errors := busy(true)
	r, w := io.Pipe()
	go func() {
		for rest := c.Pcap(); len(rest) > 0; {
			n := min(len(rest), 777)
			_, _ = w.Write(rest[:n])
			rest = rest[n:]
		}
		_ = w.Close()
	}()
	var out, errs bytes.Buffer
	root := program{}.root()
	root.SetArgs([]string{"replay", "--output", "json", "-"})
	root.SetIn(r)
	root.SetOut(&out)
	root.SetErr(&errs)
	require.NoError(t, root.ExecuteContext(t.Context()))
	var result outcome
	require.NoError(t, json.Unmarshal(out.Bytes(), &result))
	assertTotal(t, result, commands, errors)
}

// TestTableOfAFollowedFile: it is drawn again and again.
func TestTableOfAFollowedFile(t *testing.T) {
	n := 0
	gather := func() ([]*dto.MetricFamily, error) {
		n++
		return []*dto.MetricFamily{}, nil
	}
	p := &progress{done: make(chan struct{})}
	var out bytes.Buffer
	p.wait.Go(func() { p.showTable(gather, &out, 10*time.Millisecond) })
	time.Sleep(100 * time.Millisecond)
	p.stop()
	assert.Greater(t, n, 1)
	assert.Contains(t, out.String(), "commands")
}

// silentSince returns a capture that began long before the next packet.
func silentSince() *capturetest.Capture {
	c := capturetest.New()
	c.Add(c.Frame(true, &layers.TCP{SrcPort: 50000, DstPort: 443, ACK: true}, nil))
	c.Pause(5 * time.Second)
	return c
}

// TestFirstReplyOutOfOrder: of a connection that was silent since the capture began, the requests
// show where the replies begin. Those that come ahead of the first one are in the middle of it.
func TestFirstReplyOutOfOrder(t *testing.T) {
	value := strings.Repeat("-ERR\r\n", 100)
	c := silentSince()
	k := c.Join(40000, 100, 200)
	k.Request(get + set)
	k.ReplyIn(300, fmt.Sprintf("$%d\r\n%s\r\n+OK\r\n", len(value), value))
	k.Exchange(set, ok)
	p := c.Packets
	p[2].Data, p[3].Data = p[3].Data, p[2].Data
	_, result, stderr := replayJSON(t, mustSave(t, c.Pcap()))
	assertTotal(t, result, 3, 0)
	assert.Empty(t, result.Losses)
	assert.Contains(t, stderr, "nothing was lost")

	c.Packets = slices.Delete(p, 3, 4) // and if it is missing
	_, result, stderr = replayJSON(t, mustSave(t, c.Pcap()))
	commands, errors := result.total()
	assert.LessOrEqual(t, commands, 1.0)
	assert.Zero(t, errors)
	assert.NotContains(t, stderr, "nothing was lost")
}

// TestBeginsWithinARequest: what was cut by the beginning of the capture is told.
func TestBeginsWithinARequest(t *testing.T) {
	c := silentSince()
	k := c.Join(40000, 100, 200)
	k.Exchange("the end of a value\r\n"+set, ok+ok)
	c.Pause(time.Second)
	k.Exchange(set, ok)
	_, result, stderr := replayJSON(t, mustSave(t, c.Pcap()))
	assertTotal(t, result, 1, 0)
	assert.NotContains(t, stderr, "nothing was lost")
	assert.Contains(t, stderr, "unpaired_commands_total name=default reason=mid_stream 1")
}

// TestLatencyOfACutReply: the end of a value is missing. When it passed is not known; not when the
// next request shows that.
func TestLatencyOfACutReply(t *testing.T) {
	c := capturetest.New()
	k := c.Connect(40000)
	k.Request(get)
	k.ReplyIn(100, fmt.Sprintf("$300\r\n%s\r\n", strings.Repeat("x", 300)))
	missing := len(c.Packets) - 1
	for range 2 {
		c.Pause(time.Second / 2)
		k.Exchange(set, ok)
	}
	c.Packets = slices.Delete(c.Packets, missing, missing+1)
	_, result, stderr := replayJSON(t, mustSave(t, c.Pcap()))
	assertTotal(t, result, 3, 0)
	assert.Contains(t, stderr, "nothing was lost")
	for _, row := range result.Commands {
		assert.Less(t, *row.Max, 0.001, row.Command)
	}
}

// TestTwoTaps: two captures of the same packets, whose clocks differ by less than the time that an ended
// connection is remembered.
func TestTwoTaps(t *testing.T) {
	c := capturetest.New()
	for port := range 3 {
		k := c.ConnectAt(40000+port, uint32(port)<<20, 77)
		k.Exchange(set+get, ok+bulk)
		k.Exchange(capturetest.Command("LPUSH", "k", "v"), "-WRONGTYPE x\r\n")
		k.Close()
	}
	first := mustSave(t, c.Pcap())
	for i := range c.Packets {
		c.Packets[i].Time = c.Packets[i].Time.Add(900 * time.Millisecond)
	}
	status, result, stderr := replayJSON(t, first, mustSave(t, c.Pcap()))
	assert.Zero(t, status, stderr)
	assertTotal(t, result, 9, 3)
	assert.Empty(t, result.Losses)
	assert.Equal(t, map[string]uint64{"redis": 3}, result.Summary.Connections)
}

// TestHalvesThatMeetLate: requests in mid-stream whose replies have another address and come late count
// as unanswered, which the summary says.
func TestHalvesThatMeetLate(t *testing.T) {
	c := silentSince()
	k := c.Join(40000, 100, 200)
	k.Request(get + get)
	c.Pause(50 * time.Millisecond)
	k.Reply(bulk + bulk)
	k.Exchange(set, ok)
	for i := range c.Packets {
		if p := c.Packets[i].Data; binary.BigEndian.Uint16(p[14+20+2:]) == capturetest.Port {
			copy(p[14+16:], []byte{10, 244, 2, 7})
		}
	}
	_, text, stderr := replayFile(t, mustSave(t, c.Pcap()))
	assert.Contains(t, text, `redis_observer_unanswered_commands_total{name="default",reason="client_closed"} 2`)
	assert.Contains(t, stderr, "1 of them showed that late")
	assert.NotContains(t, stderr, "nothing was lost")
}
