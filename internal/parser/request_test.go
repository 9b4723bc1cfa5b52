package parser

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

func newRequests() stream { return new(requests) }

var bulk = resp.Bulk

func command(args ...string) string { return string(resp.Request(args...)) }

var long = strings.Repeat("0123456789", 10)

// validRequests is the corpus of the table tests, the split tests, the allocation test and the seeds of the fuzzer.
var validRequests = []struct {
	name, wire string
	want       []string
}{
	{"one argument", command("PING"), []string{`1 "PING"`}},
	{"two", command("GET", "k"), []string{`2 "GET" "k"`}},
	{"three", command("SET", "key", "val"), []string{`3 "SET" "key" "val"`}},
	{"four", command("SET", "key", "val", "NX"), []string{`4 "SET" "key" "val"`}},
	{"twelve", command("DEL", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"), []string{`12 "DEL" "1" "2"`}},
	{"empty arguments", command("SET", "", ""), []string{`3 "SET" "" ""`}},
	{"empty name", command(""), []string{`1 ""`}},
	{"cut arguments", command("ECHO", long, long, long), []string{`4 "ECHO" "` + long[:64] + `" "` + long[:64] + `"`}},
	{"exactly MaxArg", command("ECHO", long[:64]), []string{`2 "ECHO" "` + long[:64] + `"`}},
	{"binary name", command("\x00\r\n*"), []string{`1 "\x00\r\n*"`}},
	{"payload like RESP", command("SET", "k", "\r\n*1\r\n$4\r\nPING\r\n"), []string{`3 "SET" "k" "\r\n*1\r\n$4\r\nPING\r\n"`}},
	{"skipped payload like RESP", command("MSET", "a", "b", "c", "\r\n*1\r\n$4\r\nPING\r\n"), []string{`5 "MSET" "a" "b"`}},
	{"pipeline", command("GET", "a") + command("GET", "b") + "PING\r\n" + command("GET", "c"),
		[]string{`2 "GET" "a"`, `2 "GET" "b"`, `1 "PING" inline`, `2 "GET" "c"`}},
	{"sloppy framing", "*1\rX$4\rXPINGXX" + command("GET", "a"), []string{`1 "PING"`, `2 "GET" "a"`}},
	{"sloppy framing, split sizes", "*2\r!$12\r!0123456789ab??$1\r!a??", []string{`2 "0123456789ab" "a"`}},
	{"empty requests", "\r\n\n  \r\n*0\r\n*-1\r\n*-10\r\n\t\n" + command("PING"), []string{`1 "PING"`}},
	{"only empty requests", "*0\r\n\r\n", nil},
	{"block", command("XREAD", "BLOCK", "0", "STREAMS", "s", "$"), []string{`6 "XREAD" "BLOCK" "0" block`}},
	{"block in lower case", command("XREAD", "COUNT", "1", "bLocK", "0"), []string{`5 "XREAD" "COUNT" "1" block`}},
	{"block as eighth", command("a", "b", "c", "d", "e", "f", "g", "block"), []string{`8 "a" "b" "c" block`}},
	{"block as ninth", command("a", "b", "c", "d", "e", "f", "g", "h", "block"), []string{`9 "a" "b" "c"`}},
	{"nearly block", command("a", "b", "c", "blocK\x00", "bloc", "blocl", "\x02lock"), []string{`7 "a" "b" "c"`}},
	{"block split in words", command("a", "bl", "ock", "xblock", "blockx"), []string{`5 "a" "bl" "ock"`}},
	{"large count begun", "*2147483647\r\n$1\r\na\r\n", nil},
	{"largest bulk begun", "*2\r\n$536870912\r\na", nil},
	{"zero bytes begun", "*1\r\n$0\r\n", nil},
}

func TestRequestValid(t *testing.T) {
	for _, test := range validRequests {
		t.Run(test.name, func(t *testing.T) {
			testSplits(t, newRequests, test.wire, test.want, ErrShort)
		})
	}
}

func TestRequestMalformed(t *testing.T) {
	for _, test := range []struct{ name, wire string }{
		{"count empty", "*\r\n"},
		{"count not a number", "*a\r\n"},
		{"count with plus", "*+1\r\n"},
		{"count with leading zero", "*01\r\n"},
		{"count negative zero", "*-0\r\n"},
		{"count with blank", "* 1\r\n"},
		{"count with NUL", "*\x001\r\n"},
		{"count over INT_MAX", "*2147483648\r\n"},
		{"count over 64 bits", "*18446744073709551617\r\n"},
		{"count far too long", "*" + strings.Repeat("1", 100) + "\r\n"},
		{"no dollar", "*1\r\n:4\r\n"},
		{"no dollar, two arguments", "*2\r\n$1\r\na\r\n*1\r\n"},
		{"empty length line", "*1\r\n\r\n"},
		{"length negative", "*1\r\n$-1\r\n"},
		{"length with plus", "*1\r\n$+4\r\nPING\r\n"},
		{"length with leading zero", "*1\r\n$04\r\nPING\r\n"},
		{"length over 512 MiB", "*1\r\n$536870913\r\n"},
		{"length over 64 bits", "*1\r\n$99999999999999999999\r\n"},
		{"length empty", "*1\r\n$\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			testSplits(t, newRequests, test.wire, nil, ErrMalformed)
			testSplits(t, newRequests, command("GET", "a")+test.wire+command("GET", "b"), []string{`2 "GET" "a"`}, ErrMalformed)
		})
	}
}

func TestRequestLineLimits(t *testing.T) {
	for _, test := range []struct {
		name, wire string
		want       error
	}{
		{"endless count", "*" + strings.Repeat("1", maxLine+1), ErrMalformed},
		{"count still open", "*" + strings.Repeat("1", maxLine-1), ErrShort},
		{"endless length", "*1\r\n$" + strings.Repeat("1", maxLine+1), ErrMalformed},
		{"endless inline", strings.Repeat("a", maxLine+1), ErrMalformed},
		{"inline still open", strings.Repeat("a", maxLine), ErrShort},
		{"endless behind a NUL", "a\x00" + strings.Repeat("\n", maxLine), ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, size := range []int{len(test.wire), 1000, 7} {
				got, err := feed(t, newRequests(), split([]byte(test.wire), size)...)
				assert.ErrorIs(t, err, test.want)
				assert.Empty(t, got)
			}
		})
	}
}

func TestRequestBoundaryRestReset(t *testing.T) {
	var s RequestStream
	var r Request
	assert.True(t, s.Boundary())
	assert.ErrorIs(t, s.Next(&r), ErrShort)
	s.Feed([]byte(command("GET", "a") + command("GET", "b") + "*2\r\n$"))
	assert.False(t, s.Boundary())
	require.NoError(t, s.Next(&r))
	assert.Equal(t, command("GET", "b")+"*2\r\n$", string(s.Rest()))
	require.NoError(t, s.Next(&r))
	assert.False(t, s.Boundary())
	require.ErrorIs(t, s.Next(&r), ErrShort)
	assert.False(t, s.Boundary(), "within a request")
	testReset(t, newRequests(), "*x\r\n", command("PING"))
}

// A request that lies whole in its chunk is not copied.
func TestRequestAliasesChunk(t *testing.T) {
	chunk := []byte(command("GET", "key"))
	var s RequestStream
	var r Request
	s.Feed(chunk)
	require.NoError(t, s.Next(&r))
	assert.Same(t, &chunk[8], &r.Argv[0][0])
}
