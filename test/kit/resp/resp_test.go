package resp_test

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

func TestRequest(t *testing.T) {
	const get = "*2\r\n$3\r\nGET\r\n$0\r\n\r\n"
	assert.Equal(t, get, string(resp.Request("GET", "")))
	assert.Equal(t, get+get, string(resp.Repeat(2, "GET", "")))
	assert.Equal(t, "$2\r\nab\r\n", resp.Bulk("ab"))
}

// Read and Skip take exactly one reply, whatever it is, and leave the next one.
func TestReply(t *testing.T) {
	text := func(kind byte, text string) resp.Reply { return resp.Reply{Kind: kind, Text: text} }
	long := strings.Repeat("x", 5000)
	tests := []struct {
		name, wire string
		want       resp.Reply
	}{
		{"line", "+OK\r\n", text('+', "OK")},
		{"error longer than the buffer", "-ERR " + long + "\r\n", text('-', "ERR "+long)},
		{"number", ":-12\r\n", text(':', "-12")},
		{"bulk", "$4\r\na\r\nb\r\n", text('$', "a\r\nb")},
		{"empty bulk", "$0\r\n\r\n", text('$', "")},
		{"absent bulk", "$-1\r\n", resp.Reply{Kind: '$', Text: "nil", Null: true}},
		{"bulk error", "!3\r\nERR\r\n", text('!', "ERR")},
		{"absent array", "*-1\r\n", resp.Reply{Kind: '*', Text: "-1", Null: true}},
		{"array", "*2\r\n$1\r\na\r\n*1\r\n:1\r\n", resp.Reply{Kind: '*', Text: "2", Elements: []resp.Reply{
			text('$', "a"), {Kind: '*', Text: "1", Elements: []resp.Reply{text(':', "1")}},
		}}},
		{"map", "%1\r\n+k\r\n_\r\n", resp.Reply{Kind: '%', Text: "1", Elements: []resp.Reply{text('+', "k"), {Kind: '_', Null: true}}}},
		{"attribute", "|1\r\n+ttl\r\n:1\r\n+OK\r\n", text('+', "OK")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reader := func() *bufio.Reader { return bufio.NewReaderSize(strings.NewReader(test.wire+"+next\r\n"), 1024) }
			r := reader()
			got, err := resp.Read(r)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
			rest, err := io.ReadAll(r)
			require.NoError(t, err)
			assert.Equal(t, "+next\r\n", string(rest))

			r = reader()
			first, err := resp.Skip(r)
			require.NoError(t, err)
			assert.Equal(t, string(test.want.Kind), string(first))
			rest, err = io.ReadAll(r)
			require.NoError(t, err)
			assert.Equal(t, "+next\r\n", string(rest))
		})
	}
}

func TestReplyFaults(t *testing.T) {
	for _, wire := range []string{"", "+OK", "$4\r\nab", "*2\r\n+a\r\n", "$x\r\n"} {
		_, err := resp.Read(bufio.NewReader(strings.NewReader(wire)))
		require.Error(t, err, "read %q", wire)
		_, err = resp.Skip(bufio.NewReader(strings.NewReader(wire)))
		require.Error(t, err, "skip %q", wire)
	}
}
