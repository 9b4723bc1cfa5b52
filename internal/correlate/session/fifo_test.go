package session

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fifo holds the same commands as a list, whatever runs they form.
func TestFifo(t *testing.T) {
	places := new(granted)
	f := fifo{owner: newSession(places, 1<<20)}
	var list []int64
	next := int64(0)
	random := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		n := 1 + random.IntN(5)
		switch random.IntN(5) {
		case 0, 1:
			*f.push() = pending{time: next}
			list = append(list, next)
			next++
		case 2:
			if !f.empty() {
				require.Zero(t, f.repeat(uint32(n)))
				list = append(list, slices.Repeat(list[len(list)-1:], n)...)
			}
		case 3:
			if !f.empty() {
				n = min(n, int(f.at(0).count()))
				f.pop(uint32(n))
				list = list[n:]
			}
			if !f.empty() {
				require.Equal(t, pending{time: list[0]}, f.take())
				list = list[1:]
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
	for range 2 * keptPlaces {
		require.NotNil(t, f.push())
	}
	for !f.empty() {
		f.pop(f.at(0).count())
	}
	assert.LessOrEqual(t, places.used, keptPlaces, "a large ring becomes smaller as it empties")
}

func TestFifoIsBounded(t *testing.T) {
	f := fifo{owner: newSession(new(granted), 8)}
	require.NotNil(t, f.push())
	assert.Zero(t, f.repeat(6))
	assert.EqualValues(t, 2, f.repeat(3), "one fits")
	assert.EqualValues(t, 8, f.count)
	assert.Nil(t, f.push())
	f.pop(1)
	assert.NotNil(t, f.push())
}

func TestPlaceIsSmall(t *testing.T) {
	assert.EqualValues(t, 24, unsafe.Sizeof(pending{}))
}
