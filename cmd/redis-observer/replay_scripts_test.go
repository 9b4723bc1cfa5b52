package main

import (
	"strings"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// script makes one of the captures of testdata/replay.
type script struct {
	name string
	make func(c *capturetest.Capture)
	cut  int  // bytes cut off the end of the file
	ng   bool // pcapng
}

func (s script) file() []byte {
	c := capturetest.New()
	s.make(c)
	file := c.Pcap()
	if s.ng {
		file = c.PcapNG()
	}
	return file[:len(file)-s.cut]
}

var (
	set  = capturetest.Command("SET", "k", "v")
	bulk = resp.Bulk("v")
)

const (
	get = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
	ok  = "+OK\r\n"
)

var scripts = []script{
	{name: "resp2", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Exchange(set, ok)
		k.Exchange(get, bulk)
		k.Exchange("PING\r\n", "+PONG\r\n")
		k.Exchange(capturetest.Command("LPUSH", "k", "x"), "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")
		k.Exchange(capturetest.Command("NOSUCH"), "-ERR unknown command 'NOSUCH'\r\n")
		k.RequestIn(3, get)
		k.ReplyIn(2, bulk)
		k.Close()
	}},
	{name: "resp3", ng: true, make: func(c *capturetest.Capture) {
		c.IPv6 = true
		k := c.Connect(40000)
		k.Exchange(capturetest.Command("HELLO", "3"), "%1\r\n+server\r\n+redis\r\n")
		k.Exchange(capturetest.Command("CLIENT", "TRACKING", "ON"), ok)
		k.Exchange(get, bulk)
		k.Reply(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n")
		k.Exchange(capturetest.Command("GET", "none"), "_\r\n")
		k.Exchange(capturetest.Command("HGETALL", "h"), "%1\r\n"+bulk+bulk)
		k.Close()
	}},
	{name: "pipelining", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.RequestIn(100, strings.Repeat(get, 50)+strings.Repeat(set, 50))
		k.ReplyIn(77, strings.Repeat(bulk, 50)+strings.Repeat(ok, 50))
		k.Close()
	}},
	{name: "transaction", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Exchange(capturetest.Command("MULTI"), ok)
		k.Exchange(set, "+QUEUED\r\n")
		k.Exchange(capturetest.Command("INCR", "k"), "+QUEUED\r\n")
		k.Exchange(capturetest.Command("EXEC"), "*2\r\n+OK\r\n-ERR value is not an integer or out of range\r\n")
		k.Exchange(capturetest.Command("MULTI"), ok)
		k.Exchange(get, "+QUEUED\r\n")
		k.Exchange(capturetest.Command("DISCARD"), ok)
		k.Close()
	}},
	{name: "pubsub", make: func(c *capturetest.Capture) {
		k, p := c.Connect(40000), c.Connect(40001)
		k.Exchange(capturetest.Command("SUBSCRIBE", "a", "b"), "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n")
		p.Exchange(capturetest.Command("PUBLISH", "a", "hello"), ":1\r\n")
		k.Reply("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n")
		k.Exchange(capturetest.Command("UNSUBSCRIBE"), "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n")
		k.Close()
		p.Close()
	}},
	{name: "cluster", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Exchange(get, "-MOVED 7629 10.0.0.3:6379\r\n")
		k.Exchange(get, "-ASK 7629 10.0.0.3:6379\r\n")
		k.Exchange(capturetest.Command("ASKING"), ok)
		k.Exchange(get, bulk)
		k.Close()
	}},
	{name: "unfinished", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Exchange(get, bulk)
		k.Request(set)
	}},
	{name: "fastopen", make: func(c *capturetest.Capture) {
		k := c.FastOpen(40000, get, len(get))
		k.Reply(bulk)
		k.Exchange(set, ok)
		k.Close()
		k = c.FastOpen(40001, get, 0) // the server ignores the payload
		k.Exchange(get, bulk)
		k.Close()
	}},
	{name: "midstream", make: func(c *capturetest.Capture) {
		k := c.Join(40000, 1<<32-10, 1<<32-20) // offsets close to wrapping
		k.Reply(bulk)
		k.Exchange(get, bulk)
		c.Pause(time.Second)
		k.Exchange(get, bulk)
		k.Exchange(set, ok)
	}},
	{name: "reset", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Request(get)
		k.Reset(false)
		k = c.ConnectAt(40000, 1<<31, 1<<30)
		k.Request(set)
		k.Reset(true)
	}},
	{name: "loss", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Exchange(get, bulk)
		k.Request(get)
		k.Reply(bulk)
		c.Packets = c.Packets[:len(c.Packets)-2] // neither was captured
		k.Exchange(set, ok)
		c.Pause(time.Second)
		k.Exchange(get, bulk)
		k.Close()
	}},
	{name: "disorder", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.RequestIn(20, strings.Repeat(set, 4))
		k.Reply(strings.Repeat(ok, 4))
		k.KeepAlive()
		k.Close()
		p := c.Packets
		p[3], p[5] = p[5], p[3]                                                      // out of order
		c.Packets = append(p[:5:5], append([]capturetest.Packet{p[4]}, p[5:]...)...) // captured twice
	}},
	{name: "snapped", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Exchange(capturetest.Command("SET", "k", strings.Repeat("x", 4000)), ok)
		k.Exchange(get, resp.Bulk(strings.Repeat("x", 300)))
		k.Close()
		c.Snap(120)
	}},
	{name: "hostile_truncated", cut: 9, make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Exchange(get, bulk)
		k.Close()
	}},
	{name: "hostile_lengths", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Exchange("*1\r\n$999999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n")
		for _, at := range []int{14, 16, 46} { // version, total length, header length of TCP
			k.Request(get)
			c.Packets[len(c.Packets)-1].Data[at] = 0xff
		}
	}},
	{name: "hostile_checksums", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Exchange(get, bulk)
		k.Close()
		for _, p := range c.Packets {
			p.Data[24], p.Data[50] = p.Data[24]^0xff, p.Data[50]^0xff // as checksum offloading leaves them
		}
	}},
	{name: "hostile_garbage", make: func(c *capturetest.Capture) {
		for port, text := range []string{"\x16\x03\x01\x02\x00\x01\x00", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x00\xff\x00\xff", "SSH-2.0-x\r\n"} {
			k := c.Connect(40000 + port)
			k.Exchange(text, "\x15\x03\x03\x00\x02\x02\x28")
			k.Close()
		}
	}},
	{name: "hostile_flood", make: func(c *capturetest.Capture) {
		k := c.Connect(40000)
		k.Request(get)
		for port := range 500 {
			c.Now = c.Now.Add(time.Microsecond)
			c.Add(c.Frame(true, &layers.TCP{SrcPort: layers.TCPPort(20000 + port), DstPort: capturetest.Port, SYN: true, Seq: uint32(port)}, nil))
		}
		k.Reply(bulk)
		k.Close()
	}},
}
