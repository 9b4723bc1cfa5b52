package parser

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// No message allocates, whole or split.
func TestAllocations(t *testing.T) {
	for _, test := range append(validRequests, validInlines...) {
		t.Run("request "+test.name, func(t *testing.T) {
			var s RequestStream
			var r Request
			testAllocations(t, test.wire, s.Feed, func() error { return s.Next(&r) }, s.Reset)
		})
	}
	for _, test := range validReplies {
		t.Run("reply "+test.name, func(t *testing.T) {
			var s ReplyStream
			var r Reply
			testAllocations(t, test.wire, s.Feed, func() error { return s.Next(&r) }, s.Reset)
			testAllocations(t, test.wire, s.Feed, func() error { return s.Header(&r) }, s.Reset)
		})
	}
}

func testAllocations(t *testing.T, wire string, feed func([]byte), next func() error, reset func()) {
	b := []byte(wire)
	for _, size := range []int{len(b), 1} {
		allocs := testing.AllocsPerRun(10, func() {
			reset()
			for rest := b; len(rest) > 0; rest = rest[size:] {
				feed(rest[:size])
				for next() == nil {
				}
			}
		})
		assert.Zero(t, allocs, "chunks of %d", size)
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, bench := range []struct{ name, wire string }{
		{"PING", command("PING")},
		{"GET", command("GET", "key")},
		{"SET", command("SET", "key", "val")},
		{"GET20", command("GET", "session:000000012345")},
		{"SET1K", command("SET", "session:000000012345", strings.Repeat("x", 1024))},
		{"MSET100", command(append([]string{"MSET"}, strings.Split(strings.Repeat("key ", 199)+"key", " ")...)...)},
		{"inline", "PING\r\n"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var s RequestStream
			var r Request
			benchmark(b, bench.wire, 16, s.Feed, func() error { return s.Next(&r) })
		})
	}
	b.Run("SETsplit", func(b *testing.B) {
		var s RequestStream
		var r Request
		benchmarkSplit(b, command("SET", "key", "val"), s.Feed, func() error { return s.Next(&r) })
	})
}

func BenchmarkReply(b *testing.B) {
	for _, bench := range []struct{ name, wire string }{
		{"OK", "+OK\r\n"},
		{"bulk", "$3\r\nbar\r\n"},
		{"null", "$-1\r\n"},
		{"integer", ":12\r\n"},
		{"error", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"},
		{"bulk1K", bulk(strings.Repeat("x", 1024))},
		{"message", "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n"},
		{"array100", "*100\r\n" + strings.Repeat("$3\r\nbar\r\n", 100)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var s ReplyStream
			var r Reply
			benchmark(b, bench.wire, 16, s.Feed, func() error { return s.Next(&r) })
		})
	}
	b.Run("bulksplit", func(b *testing.B) {
		var s ReplyStream
		var r Reply
		benchmarkSplit(b, "$3\r\nbar\r\n", s.Feed, func() error { return s.Next(&r) })
	})
}

// benchmark reads wire again and again, as a pipeline of the given length in each chunk. An operation is one message.
func benchmark(b *testing.B, wire string, pipeline int, feed func([]byte), next func() error) {
	chunk := []byte(strings.Repeat(wire, pipeline))
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	for n := 0; n < b.N; {
		feed(chunk)
		for next() == nil {
			n++
		}
	}
}

// benchmarkSplit reads wire in two chunks, so that every message is resumed.
func benchmarkSplit(b *testing.B, wire string, feed func([]byte), next func() error) {
	chunk := []byte(wire)
	half := len(chunk) / 2
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	for b.Loop() {
		feed(chunk[:half])
		first := next()
		feed(chunk[half:])
		if second := next(); first != ErrShort || second != nil {
			b.Fatal(first, second)
		}
	}
}
