package parser

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzRepeats compares requests taken at once with the same taken one by one.
func FuzzRepeats(f *testing.F) {
	get := "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
	for _, wire := range []string{
		get + get + get, get + "*2\r\n$3\r\nGET\r\n$100\r\na\r\n", get + get[:15], get + "*2\r\n$3\r\nget\r\n$1\r\na\r\n" + get,
		"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", "PING\r\nPING\r\n", "*1\r\n$0\r\n\r\n*1\r\n$0\r\n\r\n",
		"*1\r\n$20\r\nabcdefghijklmnopqrst\r\n*1\r\n$20\r\nabcdefghijklXnopqrst\r\n", get + "*2\r\n$3\r\nGET\r\n$-1\r\n", get + "*2\r\n$3\r\nGET\r\n+1\r\n",
	} {
		f.Add([]byte(wire), uint16(len(wire)))
		f.Add([]byte(wire), uint16(len(get)))
	}
	f.Fuzz(func(t *testing.T, wire []byte, cut uint16) {
		at := min(int(cut), len(wire))
		chunks := [][]byte{wire[:at], wire[at:]}
		want, wantRest, wantErr := readRequests(chunks, func(*RequestStream) int { return 0 })
		got, rest, err := readRequests(chunks, (*RequestStream).Repeats)
		assert.Equal(t, want, got)
		assert.Equal(t, wantRest, rest)
		assert.ErrorIs(t, err, wantErr)
	})
}

// readRequests reads chunks, and before each request what repeats takes. It returns what distinguishes the requests, and the rest.
func readRequests(chunks [][]byte, repeats func(*RequestStream) int) (all []string, rest int, err error) {
	var s RequestStream
	var r Request
	one := "none"
	for _, chunk := range chunks {
		s.Feed(chunk)
		for err = nil; err == nil; {
			for range repeats(&s) {
				all = append(all, one)
			}
			if err = s.Next(&r); err == nil {
				one = fmt.Sprintf("%q %d %t", r.Argv[0], r.Args, r.Inline)
				all = append(all, one)
			}
		}
		if !errors.Is(err, ErrShort) {
			break
		}
	}
	return all, len(s.Rest()), err
}

// FuzzSuccesses compares replies taken at once with the same taken one by one.
func FuzzSuccesses(f *testing.F) {
	for _, wire := range []string{
		"+OK\r\n:1\r\n$-1\r\n$3\r\nfoo\r\n", "+OK\r\n-ERR x\r\n+OK\r\n", "+QUEUED\r\n", "$3\r\nfo", "*1\r\n:1\r\n:2\r\n", ":12", ":-1\r\n:1\r\n",
		"$3\r\nfooX\n", ":1\rX", "\n+OK\r\n", "$-1\rX", "+OK\rX", ">1\r\n+a\r\n+OK\r\n", "$-1\r\n$-1\r\n$0\r\n\r\n$-1\r\n$-1\r\n+OK\r\n",
	} {
		f.Add([]byte(wire), uint8(2))
	}
	f.Fuzz(func(t *testing.T, wire []byte, most uint8) {
		limit := 1 + int(most%8)
		var one, many ReplyStream
		var r Reply
		one.Feed(wire)
		many.Feed(wire)
		for {
			n, nils := many.Successes(limit)
			require.LessOrEqual(t, n, limit)
			for range n {
				require.NoError(t, one.Next(&r))
				if r.Null {
					nils--
				}
				require.Contains(t, "+:$", string(r.Type))
				require.False(t, r.NestedError)
			}
			require.Zero(t, nils)
			require.Equal(t, one.Rest(), many.Rest())
			wantErr, err := one.Next(&r), many.Next(&r)
			require.Equal(t, wantErr, err)
			require.Equal(t, one.Rest(), many.Rest())
			if err != nil {
				return
			}
		}
	})
}
