package reorder

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		name      string
		next, seq uint32
		want      int64
	}{
		{"expected", 5, 5, 0},
		{"ahead", 5, 9, 4},
		{"behind", 9, 5, -4},
		{"ahead across the wrap", 0xffffffff, 3, 4},
		{"behind across the wrap", 3, 0xffffffff, -4},
		{"a window behind", window, 0, -window},
		{"further behind is ahead", window + 1, 0, 3<<30 - 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := Buffer{next: test.next, known: true}
			assert.Equal(t, test.want, b.Distance(test.seq))
		})
	}
}

func TestSegmentsInOrder(t *testing.T) {
	const start = 0xfffffff0
	var stream [256]byte
	for i := range stream {
		stream[i] = byte(i)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := Buffer{}
		b.Start(start)
		limits := Limits{Cost: 1 << 20, Segments: 1 << 10}
		// Overlapping segments that cover the stream, in any order.
		var segments []Segment
		for at := 0; at < len(stream); {
			from := max(0, at-random.IntN(8))
			to := min(len(stream), at+1+random.IntN(20))
			segments = append(segments, Segment{Seq: start + uint32(from), Len: uint32(to - from), Data: stream[from:to]})
			at = to
		}
		random.Shuffle(len(segments), func(i, j int) { segments[i], segments[j] = segments[j], segments[i] })
		var got []byte
		for _, s := range segments {
			if _, fresh := b.Trim(&s); fresh {
				require.True(t, b.HasRoom(&s, limits))
				b.Hold(s)
			}
			for b.Ready() {
				if s, fresh := b.Take(); fresh {
					b.Advance(s.Len)
					got = append(got, s.Data...)
				}
			}
		}
		require.Equal(t, stream[:], got)
		require.Zero(t, b.cost)
		require.Nil(t, b.segments)
	}
}

func TestBufferIsBounded(t *testing.T) {
	b := Buffer{}
	b.Start(0)
	limits := Limits{Cost: 3 * SegmentCost, Segments: 2}
	assert.False(t, b.HasRoom(&Segment{Seq: 10, Len: 2*SegmentCost + 1, Data: make([]byte, 2*SegmentCost+1)}, limits), "cost of a buffer")
	b.Hold(Segment{Seq: 10, Len: 1, Data: make([]byte, 1)})
	assert.True(t, b.HasRoom(&Segment{Seq: 12, Len: 1 << 20}, limits), "of a gap only its entry is kept")
	b.Hold(Segment{Seq: 12, Len: 1 << 20})
	assert.False(t, b.HasRoom(&Segment{Seq: 99, Len: 1, Data: make([]byte, 1)}, limits), "segments")
}
