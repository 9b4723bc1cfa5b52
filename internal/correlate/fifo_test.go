package correlate

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
