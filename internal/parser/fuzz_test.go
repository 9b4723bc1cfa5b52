package parser

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func FuzzRequestStream(f *testing.F) {
	for _, test := range append(validRequests, validInlines...) {
		f.Add([]byte(test.wire), uint64(0x0103_0205_0100_0407))
	}
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$01\r\na\r\n"), uint64(1))
	f.Add([]byte(`SET "a"b`+"\n"), uint64(2))
	f.Fuzz(func(t *testing.T, wire []byte, sizes uint64) {
		testChunkings(t, newRequests, wire, chunkSizes(sizes))
	})
}

func FuzzReplyStream(f *testing.F) {
	for _, test := range validReplies {
		f.Add([]byte(test.wire), false, uint64(0x0103_0205_0100_0407))
	}
	f.Add([]byte("*2\r\n*1\r\n:1\r\n|1\r\n+a\r\n+b\r\n:2\r\n"), true, uint64(1))
	f.Add([]byte("*2\r\n+a\r\n>2\r\n*1\r\n*1\r\n:1\r\n|1\r\n>1\r\n:1\r\n:2\r\n*?\r\n:3\r\n.\r\n:4\r\n:5\r\n"), false, uint64(3))
	f.Add([]byte("$3\r\nfooX\n"), false, uint64(2))
	f.Fuzz(func(t *testing.T, wire []byte, header bool, sizes uint64) {
		fresh := newReplies
		if header {
			fresh = newHeaders
		}
		testChunkings(t, fresh, wire, chunkSizes(sizes))
	})
}

// chunkSizes makes eight chunk sizes from the bytes of n.
func chunkSizes(n uint64) []int {
	sizes := make([]int, 8)
	for i := range sizes {
		sizes[i] = 1 + int(byte(n>>(8*i)))
	}
	return sizes
}

// testChunkings checks that wire means the same in any chunks, and with every chunk missing that the stream says it can do without.
func testChunkings(t *testing.T, fresh func() stream, wire []byte, sizes []int) {
	whole := fresh()
	want, wantErr := feed(t, whole, wire)
	require.LessOrEqual(t, len(whole.Rest()), len(wire))
	assert.Equal(t, wantErr == ErrMalformed, len(wire) > 0 && isSticky(t, whole))

	for _, sizes := range [][]int{sizes, {1}} {
		chunks := split(wire, sizes...)
		got, err := feed(t, fresh(), chunks...)
		require.Equal(t, want, got)
		if len(wire) > 0 {
			require.ErrorIs(t, err, wantErr)
		}
		got, err = feedWithGaps(t, fresh(), chunks)
		got, want := withoutValues(got), withoutValues(want)
		if wantErr == ErrShort {
			require.Equal(t, want, got)
			continue
		}
		// What is wrong may be in a gap, so that more is read; what is right may not be lost.
		if err == ErrMalformed && len(got) == len(want) {
			require.Equal(t, want, got)
		}
		require.GreaterOrEqual(t, len(got), len(want))
		require.Equal(t, want, append([]string(nil), got[:len(want)]...))
	}
}

// withoutValues leaves out what a reply that is one value says: that may be missing.
func withoutValues(messages []string) []string {
	var kept []string
	for _, message := range messages {
		if strings.HasPrefix(message, `$ "`) {
			message = "$"
		}
		kept = append(kept, message)
	}
	return kept
}

func isSticky(t *testing.T, s stream) bool {
	_, err := s.next(t)
	return err == ErrMalformed
}

// feedWithGaps is feed, but withholds each chunk that a copy of the stream accepts as a gap.
func feedWithGaps(t *testing.T, s stream, chunks [][]byte) (messages []string, err error) {
	for _, chunk := range chunks {
		var some []string
		if other := s.clone(); other.Gap(uint32(len(chunk))) {
			s = other
			some, err = drain(t, s)
		} else {
			some, err = feed(t, s, chunk)
		}
		messages = append(messages, some...)
		if err != ErrShort {
			break
		}
	}
	return messages, err
}
