package parser

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var prefaces = []struct {
	name, header string
	state        PrefaceState
}{
	{"line", "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", PrefaceLine},
	{"line of unknown", "PROXY UNKNOWN\r\n", PrefaceLine},
	{"binary", prefaceBinary + "\x21\x11\x00\x0c\xc0\xa8\x00\x01\xc0\xa8\x00\x0b\xdc\x04\x01\xbb", PrefaceBinary},
	{"binary, local", prefaceBinary + "\x20\x00\x00\x00", PrefaceBinary},
	{"binary, with additions", prefaceBinary + "\x21\x11\x01\x2c" + strings.Repeat("*", 300), PrefaceBinary},
	{"request", "", PrefaceAbsent},
	{"inline request", "PROX\r\n", PrefaceAbsent},
	{"another inline request", "PING\r\n", PrefaceAbsent},
	{"blank lines", "\r\n\r\nPING\r\n", PrefaceAbsent},
}

// skip feeds chunks and returns what the requests begin with.
func skip(t *testing.T, chunks ...[]byte) (requests string, state PrefaceState) {
	t.Helper()
	var p Preface
	for _, chunk := range chunks {
		if state != PrefaceUndecided {
			requests += string(chunk)
			continue
		}
		again, rest, now := p.Skip(chunk)
		if now == PrefaceUndecided {
			require.Empty(t, again+string(rest))
		}
		requests, state = again+string(rest), now
	}
	return requests, state
}

func TestPreface(t *testing.T) {
	const behind = "*1\r\n$4\r\nPING\r\nPROXY x\r\n"
	for _, test := range prefaces {
		t.Run(test.name, func(t *testing.T) {
			want := behind
			if test.state == PrefaceAbsent {
				want = test.header + behind
			}
			wire := []byte(test.header + behind)
			for size := 1; size <= len(wire); size++ {
				got, state := skip(t, split(wire, size)...)
				require.Equal(t, want, got, size)
				require.Equal(t, test.state, state, size)
			}
			for n := 1; n < len(test.header) && test.state != PrefaceAbsent; n++ {
				_, state := skip(t, wire[:n])
				require.Equal(t, PrefaceUndecided, state, n)
			}
		})
	}
}

// Whatever the bytes and the chunks, nothing but a header is left out.
func FuzzPreface(f *testing.F) {
	for _, test := range prefaces {
		f.Add([]byte(test.header+"PING\r\n"), uint64(0x0103_0205_0100_0407))
	}
	f.Fuzz(func(t *testing.T, wire []byte, sizes uint64) {
		if len(wire) == 0 {
			return
		}
		want, state := skip(t, wire)
		got, again := skip(t, split(wire, chunkSizes(sizes)...)...)
		require.Equal(t, state, again)
		require.Equal(t, want, got)
		assert.True(t, strings.HasSuffix(string(wire), want))
		if state == PrefaceAbsent {
			assert.Equal(t, string(wire), want)
		}
	})
}
