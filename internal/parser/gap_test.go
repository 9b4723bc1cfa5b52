package parser

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// gapTest feeds before, calls Gap, feeds after.
type gapTest struct {
	name   string
	before string
	gap    uint32
	inStep bool
	after  string
	want   []string
}

func testGaps(t *testing.T, fresh func() stream, tests []gapTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := fresh()
			got, err := feed(t, s, []byte(test.before))
			assert.ErrorIs(t, err, ErrShort)
			assert.Equal(t, test.inStep, s.Gap(test.gap))
			if !test.inStep {
				assert.Equal(t, fresh(), s, "as after Reset")
			}
			// The gap itself may have completed a message.
			more, err := drain(t, s)
			assert.ErrorIs(t, err, ErrShort)
			got = append(got, more...)
			more, err = feed(t, s, []byte(test.after))
			assert.ErrorIs(t, err, ErrShort)
			assert.Equal(t, test.want, append(got, more...))
		})
	}
}

func TestRequestGap(t *testing.T) {
	set := "*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\n"
	kept := set + long[:64]
	ok := []string{`4 "SET" "k" "` + long[:64] + `"`}
	testGaps(t, newRequests, []gapTest{
		{"nothing missing", "*1\r\n", 0, true, "$1\r\na\r\n", []string{`1 "a"`}},
		{"at a boundary", "", 1, false, command("a"), []string{`1 "a"`}},
		{"in a header", "*1", 1, false, command("a"), []string{`1 "a"`}},
		{"in a length", "*1\r\n$4", 2, false, command("a"), []string{`1 "a"`}},
		{"in an inline command", "PING a", 1, false, command("a"), []string{`1 "a"`}},
		{"in a name", "*1\r\n$4\r\nP", 1, false, command("a"), []string{`1 "a"`}},
		{"in the second argument", "*2\r\n$1\r\na\r\n$100\r\n" + long[:63], 1, false, command("a"), []string{`1 "a"`}},
		{"in the kept part", set + long[:63], 1, false, command("a"), []string{`1 "a"`}},
		{"behind the kept part", kept, 36, true, "\r\n$2\r\nNX\r\n", ok},
		{"some of it", kept, 10, true, long[:26] + "\r\n$2\r\nNX\r\n", ok},
		{"with what follows it", kept, 38, true, "$2\r\nNX\r\n", ok},
		{"beyond it", kept, 39, false, command("a"), []string{`1 "a"`}},
		{"far beyond it", kept, 1 << 31, false, command("a"), []string{`1 "a"`}},
		{"the end of a name", "*1\r\n$4\r\nPING", 2, true, command("a"), []string{`1 "PING"`, `1 "a"`}},
		{"half the end of a name", "*1\r\n$4\r\nPING\r", 1, true, command("a"), []string{`1 "PING"`, `1 "a"`}},
		{"a whole fourth argument", "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$7\r\n", 9, true, command("a"), []string{`4 "a" "b" "c"`, `1 "a"`}},
		{"what may be BLOCK", "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$5\r\nB", 2, false, command("a"), []string{`1 "a"`}},
		{"behind BLOCK", "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$5\r\nBLOCK", 2, true, command("a"), []string{`4 "a" "b" "c" block`, `1 "a"`}},
	})
}

func TestReplyGap(t *testing.T) {
	value := "$100\r\n" + long[:64]
	ok := []string{`$ "` + long[:64] + `"`, ": len=1"}
	one := []string{": len=1"}
	testGaps(t, newReplies, []gapTest{
		{"nothing missing", "*1\r\n", 0, true, ":1\r\n", []string{"* len=1 last=1"}},
		{"at a boundary", "", 1, false, ":1\r\n", one},
		{"in a line", "+a", 1, false, ":1\r\n", one},
		{"in a header", "$10", 1, false, ":1\r\n", one},
		{"between elements", "*2\r\n:1\r\n", 1, false, ":1\r\n", one},
		{"the value of a whole reply", "$100\r\n", 100, true, "\r\n:1\r\n", []string{"$", ": len=1"}},
		{"in the text of an error", "!100\r\n" + long[:63], 1, false, ":1\r\n", one},
		{"behind the text", value, 36, true, "\r\n:1\r\n", ok},
		{"some of it", value, 1, true, long[:35] + "\r\n:1\r\n", ok},
		{"with its end", value, 38, true, ":1\r\n", ok},
		{"with half its end", value, 37, true, "\n:1\r\n", ok},
		{"beyond it", value, 39, false, ":1\r\n", one},
		{"in a blob error", "!100\r\n" + long[:64], 38, true, ":1\r\n", []string{`! "` + long[:64] + `"`, ": len=1"}},
		{"in a verbatim string", "=100\r\n" + long[:64], 38, true, ":1\r\n", []string{`= "` + long[:64] + `"`, ": len=1"}},
		{"in a first element", "*2\r\n$5\r\nab", 1, false, ":1\r\n", one},
		{"in a second element", "*2\r\n$1\r\na\r\n$9\r\n", 11, true, ":1\r\n", []string{`* len=2 "a"`, ": len=1"}},
		{"in an attribute", "|1\r\n$9\r\n", 11, true, ":1\r\n:2\r\n", []string{": len=2"}},
		{"in a push within", "*1\r\n>1\r\n$9\r\n", 11, true, "$1\r\na\r\n:2\r\n", []string{`* len=1 "a"`, ": len=2"}},
		{"in the first element behind a push", "*1\r\n>1\r\n:1\r\n$5\r\nab", 1, false, ":1\r\n", one},
		{"deep within", strings.Repeat("*1\r\n", 40) + "$9\r\n", 11, true, ":2\r\n", []string{"* len=1", ": len=2"}},
		{"in a part", "$?\r\n;100\r\n" + long[:64], 38, true, ";1\r\na\r\n;0\r\n:1\r\n", ok},
		{"in the text of a part", "$?\r\n;5\r\n" + long[:4], 1, false, ":1\r\n", one},
		{"between parts", "$?\r\n;1\r\na\r\n", 1, false, ":1\r\n", one},
	})
}

// Bytes that were fed and not read stand before the gap: they have no meaning.
func TestGapBehindUnreadBytes(t *testing.T) {
	for _, s := range []stream{newRequests(), newReplies()} {
		s.Feed([]byte(strings.Repeat("*", 3)))
		assert.False(t, s.Gap(1))
		assert.True(t, s.Boundary())
	}
}

func TestGapBehindMalformed(t *testing.T) {
	for _, s := range []stream{newRequests(), newReplies()} {
		_, err := feed(t, s, []byte("*x\r\n"))
		assert.ErrorIs(t, err, ErrMalformed)
		assert.False(t, s.Gap(1))
		_, err = s.next(t)
		assert.ErrorIs(t, err, ErrShort)
	}
}
