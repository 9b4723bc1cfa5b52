package correlate

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFlowDistance(t *testing.T) {
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
			f := flow{next: test.next, known: true}
			assert.Equal(t, test.want, f.distance(test.seq))
		})
	}
}

func TestFlowOrdersPieces(t *testing.T) {
	const start = 0xfffffff0
	var stream [256]byte
	for i := range stream {
		stream[i] = byte(i)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f := flow{}
		f.start(start)
		s := newShelf(1<<20, 1<<20, 1<<10)
		// Overlapping pieces that cover the stream, in any order.
		var pieces []piece
		for at := 0; at < len(stream); {
			from := max(0, at-random.IntN(8))
			to := min(len(stream), at+1+random.IntN(20))
			pieces = append(pieces, piece{seq: start + uint32(from), len: uint32(to - from), data: stream[from:to]})
			at = to
		}
		random.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
		var got []byte
		for _, p := range pieces {
			if _, fresh := f.trim(&p); fresh {
				require.True(t, f.hasRoom(&p, &s))
				f.hold(p)
			}
			for f.ready() {
				if p, fresh := f.take(); fresh {
					f.next += p.len
					got = append(got, p.data...)
				}
			}
		}
		require.Equal(t, stream[:], got)
		require.Zero(t, f.bytes)
		require.Nil(t, f.held)
	}
}

func TestFlowIsBounded(t *testing.T) {
	f := flow{}
	f.start(0)
	s := newShelf(1<<20, 3*pieceCost, 2)
	assert.False(t, f.hasRoom(&piece{seq: 10, len: 2*pieceCost + 1, data: make([]byte, 2*pieceCost+1)}, &s), "bytes of a flow")
	f.hold(piece{seq: 10, len: 1, data: make([]byte, 1)})
	assert.True(t, f.hasRoom(&piece{seq: 12, len: 1 << 20}, &s), "of a gap only its entry is kept")
	f.hold(piece{seq: 12, len: 1 << 20})
	assert.False(t, f.hasRoom(&piece{seq: 99, len: 1, data: make([]byte, 1)}, &s), "pieces")
}

// A fifo holds the same commands as a list, whatever runs they form.
func TestFifo(t *testing.T) {
	s := newSlots(1<<20, 1<<20)
	f := fifo{owner: &conn{group: newGroup(address{})}}
	var list []int64
	next := int64(0)
	random := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		n := 1 + random.IntN(5)
		switch random.IntN(5) {
		case 0, 1:
			*f.push(&s) = pending{time: next}
			list = append(list, next)
			next++
		case 2:
			if !f.empty() {
				require.Zero(t, f.repeat(uint32(n), &s))
				list = append(list, slices.Repeat(list[len(list)-1:], n)...)
			}
		case 3:
			if !f.empty() {
				n = min(n, int(f.at(0).count()))
				require.Equal(t, pending{time: list[0]}, f.pop(uint32(n), &s))
				list = list[n:]
			}
		default:
			n = max(0, len(list)-random.IntN(4))
			f.truncate(uint32(n))
			list = list[:n]
		}
		var got []int64
		for i := range f.runs {
			got = append(got, slices.Repeat([]int64{f.at(i).time}, int(f.at(i).count()))...)
		}
		require.Len(t, list, int(f.count))
		require.True(t, slices.Equal(list, got))
	}
	for range 2 * keptSlots {
		require.NotNil(t, f.push(&s))
	}
	for !f.empty() {
		f.pop(f.at(0).count(), &s)
	}
	assert.LessOrEqual(t, s.used, keptSlots, "a large ring becomes smaller as it empties")
}

func TestFifoIsBounded(t *testing.T) {
	s := newSlots(1<<10, 8)
	f := fifo{owner: &conn{group: newGroup(address{})}}
	require.NotNil(t, f.push(&s))
	assert.Zero(t, f.repeat(6, &s))
	assert.EqualValues(t, 2, f.repeat(3, &s), "one fits")
	assert.EqualValues(t, 8, f.count)
	assert.Nil(t, f.push(&s))
	f.pop(1, &s)
	assert.NotNil(t, f.push(&s))
}
