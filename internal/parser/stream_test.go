package parser

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stream is what the two streams have in common for a test: next renders the next message, so that messages can be compared.
type stream interface {
	Feed([]byte)
	Gap(uint32) bool
	Boundary() bool
	Rest() []byte
	Reset()
	next(tb testing.TB) (string, error)
	clone() stream
}

type requests struct{ RequestStream }

func (s *requests) clone() stream { c := *s; return &c }

func (s *requests) next(tb testing.TB) (string, error) {
	var r Request
	if err := s.Next(&r); err != nil {
		return "", err
	}
	require.Positive(tb, r.Args)
	text := fmt.Sprintf("%d", r.Args)
	for i, arg := range r.Argv {
		require.LessOrEqual(tb, len(arg), MaxArg)
		require.Equal(tb, i < r.Args, arg != nil, "argument %d of %d", i, r.Args)
		if arg != nil {
			text += fmt.Sprintf(" %q", arg)
		}
	}
	if r.Inline {
		text += " inline"
	}
	if r.Block {
		text += " block"
	}
	return text, nil
}

type replies struct {
	ReplyStream
	header bool // read with Header
}

func (s *replies) clone() stream { c := *s; return &c }

func (s *replies) next(tb testing.TB) (string, error) {
	var r Reply
	read := s.Next
	if s.header {
		read = s.Header
	}
	if err := read(&r); err != nil {
		return "", err
	}
	require.LessOrEqual(tb, len(r.Text), MaxText)
	text := fmt.Sprintf("%c", r.Type)
	if r.Null {
		text += " null"
	}
	if r.Len != 0 {
		text += fmt.Sprintf(" len=%d", r.Len)
	}
	if len(r.Text) != 0 {
		text += fmt.Sprintf(" %q", r.Text)
	}
	if r.Last != 0 {
		text += fmt.Sprintf(" last=%d", r.Last)
	}
	if r.NestedError {
		text += " nested"
	}
	return text, nil
}

// drain reads the messages that the stream has.
func drain(tb testing.TB, s stream) (messages []string, err error) {
	for {
		message, err := s.next(tb)
		if err != nil {
			return messages, err
		}
		messages = append(messages, message)
	}
}

// feed gives each chunk to the stream and collects the messages, until an error other than ErrShort.
func feed(tb testing.TB, s stream, chunks ...[]byte) (messages []string, err error) {
	for _, chunk := range chunks {
		// A copy that is overwritten afterwards shows whether the stream still looks at it.
		buf := append([]byte(nil), chunk...)
		s.Feed(buf)
		var some []string
		some, err = drain(tb, s)
		messages = append(messages, some...)
		if err != ErrShort {
			return messages, err
		}
		require.Empty(tb, s.Rest())
		for i := range buf {
			buf[i] = '!'
		}
	}
	return messages, err
}

// split cuts b into chunks of the given sizes in turn.
func split(b []byte, sizes ...int) (chunks [][]byte) {
	for i := 0; len(b) > 0; i++ {
		n := min(len(b), sizes[i%len(sizes)])
		chunks = append(chunks, b[:n])
		b = b[n:]
	}
	return chunks
}

// testSplits feeds wire in one piece, in two at each point, and byte by byte.
func testSplits(t *testing.T, fresh func() stream, wire string, want []string, wantErr error) {
	t.Helper()
	b := []byte(wire)
	check := func(what string, chunks ...[]byte) {
		s := fresh()
		got, err := feed(t, s, chunks...)
		require.ErrorIs(t, err, wantErr, what)
		require.Equal(t, want, got, what)
		if wantErr == ErrMalformed {
			_, err = s.next(t)
			require.ErrorIs(t, err, ErrMalformed, what)
		}
	}
	check("whole", b)
	check("bytes", split(b, 1)...)
	check("threes", split(b, 3)...)
	for i := range b {
		check(fmt.Sprintf("split at %d", i), b[:i], b[i:])
	}
}

func testReset(t *testing.T, s stream, broken, good string) {
	t.Helper()
	_, err := feed(t, s, []byte(broken))
	require.ErrorIs(t, err, ErrMalformed)
	assert.False(t, s.Boundary())
	s.Reset()
	assert.True(t, s.Boundary())
	got, err := feed(t, s, []byte(good))
	assert.ErrorIs(t, err, ErrShort)
	assert.Len(t, got, 1)
	assert.True(t, s.Boundary())
}
