package parser

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newReplies() stream { return new(replies) }

func newHeaders() stream { return &replies{header: true} }

// validReplies is the corpus of the table tests, the split tests, the allocation test and the seeds of the fuzzer.
var validReplies = []struct {
	name, wire string
	want       []string
}{
	{"simple string", "+OK\r\n", []string{`+ "OK"`}},
	{"empty simple string", "+\r\n", []string{`+`}},
	{"newline in simple string", "+a\nb\r\n", []string{`+ "a\nb"`}},
	{"long simple string", "+" + long + "\r\n", []string{`+ "` + long[:64] + `"`}},
	{"error", "-ERR unknown command\r\n", []string{`- "ERR unknown command"`}},
	{"integer", ":1000\r\n:0\r\n:-5\r\n:+7\r\n", []string{`: len=1000`, `:`, `: len=-5`, `: len=7`}},
	{"integer limits", ":9223372036854775807\r\n:-9223372036854775808\r\n", []string{`: len=9223372036854775807`, `: len=-9223372036854775808`}},
	{"bulk", "$3\r\nbar\r\n", []string{`$ "bar"`}},
	{"empty bulk", "$0\r\n\r\n", []string{`$`}},
	{"bulk like RESP", "$9\r\n\r\n+OK\r\n:1\r\n+OK\r\n", []string{`$ "\r\n+OK\r\n:1"`, `+ "OK"`}},
	{"long bulk", bulk(long) + bulk(long[:64]), []string{`$ "` + long[:64] + `"`, `$ "` + long[:64] + `"`}},
	{"null bulk", "$-1\r\n", []string{`$ null`}},
	{"null array", "*-1\r\n", []string{`* null`}},
	{"null", "_\r\n", []string{`_ null`}},
	{"boolean", "#t\r\n#f\r\n", []string{`#`, `#`}},
	{"double", ",1.5e300\r\n,inf\r\n,nan\r\n", []string{`,`, `,`, `,`}},
	{"big number", "(" + long + "\r\n", []string{`(`}},
	{"blob error", "!21\r\nSYNTAX invalid syntax\r\n", []string{`! "SYNTAX invalid syntax"`}},
	{"verbatim", "=15\r\ntxt:Some string\r\n", []string{`= "txt:Some string"`}},
	{"array", "*2\r\n$3\r\nfoo\r\n$3\r\nbar\r\n", []string{`* len=2 "foo"`}},
	{"empty array", "*0\r\n+OK\r\n", []string{`*`, `+ "OK"`}},
	{"acknowledgement", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:7\r\n", []string{`* len=3 "subscribe" last=7`}},
	{"acknowledgement with null", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n", []string{`* len=3 "unsubscribe"`}},
	{"last is no integer", "*2\r\n:7\r\n$1\r\na\r\n", []string{`* len=2`}},
	{"last is an aggregate", "*2\r\n:7\r\n*1\r\n:8\r\n", []string{`* len=2`}},
	{"first is no string", "*2\r\n*1\r\n$1\r\na\r\n$1\r\nb\r\n", []string{`* len=2`}},
	{"first is null", "*2\r\n$-1\r\n$1\r\nb\r\n", []string{`* len=2`}},
	{"first is an error", "*2\r\n-ERR\r\n+b\r\n", []string{`* len=2 nested`}},
	{"nested error", "*1\r\n*1\r\n*2\r\n:1\r\n!3\r\nERR\r\n", []string{`* len=1 nested`}},
	{"map", "%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n", []string{`% len=4 "a" last=2`}},
	{"set", "~2\r\n+a\r\n#t\r\n", []string{`~ len=2 "a"`}},
	{"push", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n$1\r\nv\r\n", []string{`> len=2 "invalidate"`, `$ "v"`}},
	{"push within", "*2\r\n>1\r\n+a\r\n:1\r\n+b\r\n", []string{`* len=2`}},
	{"push before the last element", "*3\r\n$1\r\nA\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\nkey:1\r\n$-1\r\n:4\r\n-WRONGTYPE x\r\n", []string{`* len=3 "A" last=4`, `- "WRONGTYPE x"`}},
	{"push before the first element", "*1\r\n>2\r\n+message\r\n:9\r\n$1\r\nA\r\n:1\r\n", []string{`* len=1 "A"`, `: len=1`}},
	{"pushes behind each other", "*1\r\n>1\r\n-a\r\n>0\r\n>1\r\n*2\r\n_\r\n*0\r\n:3\r\n:1\r\n", []string{`* len=1 last=3`, `: len=1`}},
	{"push in a nested array", "*2\r\n*2\r\n:1\r\n>1\r\n*1\r\n:2\r\n:3\r\n:4\r\n:1\r\n", []string{`* len=2 last=4`, `: len=1`}},
	{"push in a map", "%1\r\n>1\r\n+a\r\n+k\r\n>1\r\n+b\r\n+v\r\n:1\r\n", []string{`% len=2 "k"`, `: len=1`}},
	{"push in an attribute", "|1\r\n+a\r\n>1\r\n*1\r\n+p\r\n+b\r\n$1\r\nv\r\n:1\r\n", []string{`$ "v"`, `: len=1`}},
	{"push behind an attribute within", "*1\r\n|1\r\n+a\r\n+b\r\n>1\r\n+p\r\n:7\r\n:1\r\n", []string{`* len=1 last=7`, `: len=1`}},
	{"push in a push", ">2\r\n+a\r\n>1\r\n:8\r\n:9\r\n:1\r\n", []string{`> len=2 "a" last=9`, `: len=1`}},
	{"push in a streamed array", "*?\r\n>1\r\n+p\r\n+a\r\n*1\r\n>?\r\n:1\r\n.\r\n:2\r\n:5\r\n.\r\n:1\r\n", []string{`* len=-1 "a" last=5`, `: len=1`}},
	{"streamed in a push within", "*1\r\n>2\r\n*?\r\n*1\r\n*2\r\n:1\r\n:1\r\n.\r\n:1\r\n:5\r\n:1\r\n", []string{`* len=1 last=5`, `: len=1`}},
	{"empty aggregates", "*4\r\n*0\r\n%0\r\n~0\r\n*1\r\n*-1\r\n:1\r\n", []string{`* len=4`, `: len=1`}},
	{"attribute", "|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n", []string{`$ "v"`}},
	{"empty attribute", "|0\r\n:1\r\n", []string{`: len=1`}},
	{"attributes within", "*2\r\n|1\r\n-a\r\n*1\r\n-b\r\n$1\r\nv\r\n|1\r\n+a\r\n_\r\n:5\r\n", []string{`* len=2 "v" last=5`}},
	{"attribute of an attribute", "|1\r\n|1\r\n+a\r\n|0\r\n+b\r\n+c\r\n+d\r\n:1\r\n", []string{`: len=1`}},
	{"streamed string", "$?\r\n;4\r\nHell\r\n;5\r\no wor\r\n;1\r\nd\r\n;0\r\n:1\r\n", []string{`$ "Hello word"`, `: len=1`}},
	{"empty streamed string", "$?\r\n;0\r\n", []string{`$`}},
	{"streamed array", "*?\r\n+a\r\n*?\r\n.\r\n:2\r\n.\r\n:1\r\n", []string{`* len=-1 "a" last=2`, `: len=1`}},
	{"streamed map", "%?\r\n+a\r\n:1\r\n.\r\n", []string{`% len=-1 "a" last=1`}},
	{"streamed set and push", "~?\r\n+a\r\n.\r\n>?\r\n$?\r\n;1\r\nb\r\n;0\r\n.\r\n", []string{`~ len=-1 "a"`, `> len=-1 "b"`}},
	{"streamed within counted", "*2\r\n*?\r\n:1\r\n.\r\n:2\r\n", []string{`* len=2 last=2`}},
	{"keep-alives", "\n\n+FULLRESYNC id 0\r\n\n\n+OK\r\n\n", []string{`+ "FULLRESYNC id 0"`, `+ "OK"`}},
	{"deep", strings.Repeat("*1\r\n", 33) + ":1\r\n:2\r\n", []string{"* len=1", ": len=2"}},
	{"deep, with others behind", strings.Repeat("*3\r\n+a\r\n", 40) + ":1\r\n" + strings.Repeat(":2\r\n", 40) + ":3\r\n", []string{`* len=3 "a" last=2`, ": len=3"}},
	{"deep attributes", strings.Repeat("|1\r\n", 40) + strings.Repeat(":1\r\n", 80) + ":2\r\n:3\r\n", []string{": len=2", ": len=3"}},
	{"deepest streamed", strings.Repeat("*?\r\n", maxLevels) + ":1\r\n" + strings.Repeat(".\r\n", maxLevels) + ":2\r\n", []string{"* len=-1", ": len=2"}},
	{"largest count begun", "*2147483647\r\n:1\r\n", nil},
	{"largest map begun", "%2147483647\r\n:1\r\n:1\r\n", nil},
	{"largest bulk begun", "$536870912\r\nx", nil},
}

func TestReplyValid(t *testing.T) {
	for _, test := range validReplies {
		t.Run(test.name, func(t *testing.T) {
			testSplits(t, newReplies, test.wire, test.want, ErrShort)
		})
	}
}

func TestReplyMalformed(t *testing.T) {
	for _, test := range []struct{ name, wire string }{
		{"no type", "OK\r\n"},
		{"carriage return first", "\r\n"},
		{"part without a string", ";1\r\na\r\n"},
		{"end without an aggregate", ".\r\n"},
		{"line without newline", "+OK\rX"},
		{"header without newline", ":1\rX"},
		{"bulk header without newline", "$3\rXfoo\r\n"},
		{"bulk without carriage return", "$3\r\nfooX\n"},
		{"bulk without newline", "$3\r\nfoo\rX"},
		{"integer empty", ":\r\n"},
		{"integer with letters", ":1a\r\n"},
		{"integer with leading zero", ":01\r\n"},
		{"integer with two signs", ":+-1\r\n"},
		{"integer over 64 bits", ":9223372036854775808\r\n"},
		{"length empty", "$\r\n"},
		{"length with plus", "$+3\r\nfoo\r\n"},
		{"length -2", "$-2\r\n"},
		{"length over 512 MiB", "$536870913\r\n"},
		{"count -2", "*-2\r\n"},
		{"count over 31 bits", "*2147483648\r\n"},
		{"count of a map over 31 bits", "%2147483648\r\n"},
		{"null of the wrong type", "=-1\r\n"},
		{"null map", "%-1\r\n"},
		{"null with content", "_1\r\n"},
		{"boolean of another letter", "#x\r\n"},
		{"boolean empty", "#\r\n"},
		{"part of another type", "$?\r\n+a\r\n"},
		{"part of negative length", "$?\r\n;-1\r\n"},
		{"part without end", "$?\r\n;1\r\naXX"},
		{"end of a counted array", "*1\r\n.\r\n"},
		{"end with content", "*?\r\n.1\r\n"},
		{"end without newline", "*?\r\n.\rX"},
		{"keep-alive within", "*2\r\n:1\r\n\n"},
		{"too deep, streamed", strings.Repeat("*?\r\n", maxLevels+1)},
		{"more values than there can be", strings.Repeat("*2147483647\r\n", maxValues/maxElements+2)},
		{"endless big number", "(" + strings.Repeat("1", maxLine+1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if len(test.wire) > maxLine {
				_, err := feed(t, newReplies(), split([]byte(test.wire), 999)...)
				assert.ErrorIs(t, err, ErrMalformed)
				return
			}
			testSplits(t, newReplies, test.wire, nil, ErrMalformed)
			testSplits(t, newReplies, "+OK\r\n"+test.wire+"+OK\r\n", []string{`+ "OK"`}, ErrMalformed)
		})
	}
}

// A line of MONITOR or an error may be longer than a header.
func TestReplyLongLine(t *testing.T) {
	wire := "+" + strings.Repeat("a", 10*maxLine) + "\r\n:1\r\n"
	for _, size := range []int{len(wire), 4096, 17} {
		got, err := feed(t, newReplies(), split([]byte(wire), size)...)
		assert.ErrorIs(t, err, ErrShort)
		assert.Equal(t, []string{`+ "` + wire[1:1+MaxText] + `"`, ": len=1"}, got)
	}
}

func TestReplyHeader(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		want       []string
	}{
		{"array", "*2\r\n+a\r\n*1\r\n:1\r\n:5\r\n", []string{"* len=2", `+ "a"`, "* len=1", ": len=1", ": len=5"}},
		{"empty array", "*0\r\n:1\r\n", []string{"*", ": len=1"}},
		{"null", "*-1\r\n_\r\n", []string{"* null", "_ null"}},
		{"error", "-EXECABORT x\r\n", []string{`- "EXECABORT x"`}},
		{"push is whole", ">2\r\n+a\r\n:1\r\n*1\r\n", []string{`> len=2 "a" last=1`, "* len=1"}},
		{"map is whole", "%1\r\n+a\r\n*1\r\n:1\r\n", []string{`% len=2 "a"`}},
		{"attribute before", "|1\r\n+a\r\n*1\r\n:1\r\n*1\r\n:3\r\n", []string{"* len=1", ": len=3"}},
		{"streamed array is whole", "*?\r\n+a\r\n*1\r\n:1\r\n.\r\n", []string{`* len=-1 "a"`}},
		{"push within an element", "*1\r\n*1\r\n>1\r\n:1\r\n:2\r\n", []string{"* len=1", "* len=1", "> len=1 last=1", ": len=2"}},
		{"deep", strings.Repeat("*1\r\n", 64), make64("* len=1")},
	} {
		t.Run(test.name, func(t *testing.T) {
			testSplits(t, newHeaders, test.wire, test.want, ErrShort)
		})
	}
}

func make64(s string) []string {
	return strings.Split(strings.Repeat(s+"\n", 63)+s, "\n")
}

// A script returns tables as deep as its interpreter can build them.
func TestReplyDepth(t *testing.T) {
	for _, open := range []string{"*1\r\n", "*2\r\n+a\r\n", "*1\r\n|1\r\n+a\r\n_\r\n", "*1\r\n>1\r\n+a\r\n", "%1\r\n+k\r\n"} {
		const depth = 7000
		wire := []byte(strings.Repeat(open, depth) + "-ERR x\r\n:1\r\n")
		for _, size := range []int{len(wire), 4096, 7, 1} {
			got, err := feed(t, newReplies(), split(wire, size)...)
			assert.ErrorIs(t, err, ErrShort)
			if assert.Len(t, got, 2, open) {
				assert.Contains(t, got[0], "nested")
				assert.Equal(t, ": len=1", got[1])
			}
		}
	}
}

func TestReplyPeek(t *testing.T) {
	var s ReplyStream
	var r Reply
	_, ok := s.Peek()
	assert.False(t, ok)
	s.Feed([]byte("\n\n>1\r\n:1\r\n:2\r\n*1\r\n"))
	for _, want := range []byte(">:") {
		kind, ok := s.Peek()
		require.True(t, ok)
		assert.Equal(t, string(want), string(kind))
		require.NoError(t, s.Next(&r))
	}
	require.ErrorIs(t, s.Next(&r), ErrShort)
	s.Feed([]byte(":1\r\n\n"))
	_, ok = s.Peek()
	assert.False(t, ok, "within a frame")
	require.NoError(t, s.Next(&r))
	_, ok = s.Peek()
	assert.False(t, ok, "nothing but a keep-alive")
}

func TestReplyBoundaryRestReset(t *testing.T) {
	var s ReplyStream
	var r Reply
	assert.True(t, s.Boundary())
	s.Feed([]byte("+FULLRESYNC\r\n\nREDIS|1\r\n"))
	assert.False(t, s.Boundary())
	require.NoError(t, s.Next(&r))
	assert.Equal(t, "\nREDIS|1\r\n", string(s.Rest()))
	testReset(t, newReplies(), "x", "+OK\r\n")

	// An attribute belongs to the frame that follows it.
	s.Reset()
	s.Feed([]byte("|1\r\n:1\r\n:2\r\n"))
	require.ErrorIs(t, s.Next(&r), ErrShort)
	assert.False(t, s.Boundary())
	s.Feed([]byte(":3\r\n"))
	require.NoError(t, s.Next(&r))
	assert.True(t, s.Boundary())
}

func TestReplyAliasesChunk(t *testing.T) {
	chunk := []byte("$3\r\nbar\r\n")
	var s ReplyStream
	var r Reply
	s.Feed(chunk)
	require.NoError(t, s.Next(&r))
	assert.Same(t, &chunk[4], &r.Text[0])
}
