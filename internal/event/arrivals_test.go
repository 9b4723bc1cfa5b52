package event

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestArrivals(t *testing.T) {
	start := uint32(0xfffffff0) // offsets wrap around
	arrivals := Arrivals{
		{From: start, End: start + 10, Time: 1},
		// The bytes from 20 to 30 were in no arrival.
		{From: start + 30, End: start + 40, Time: 2},
		{From: start + 40, End: start + 60, Time: 3}, // dropped, and
		{From: start + 40, End: start + 60, Time: 4}, // sent again
		{From: start + 50, End: start + 60, Time: 5}, // of which the first half was taken
	}
	for offset, want := range map[uint32]int64{0: 1, 9: 1, 30: 2, 39: 2, 40: 4, 49: 4, 50: 5, 59: 5} {
		at, known := arrivals.At(start + offset)
		assert.True(t, known, "offset %d", offset)
		assert.Equal(t, want, at, "offset %d", offset)
	}
	for _, offset := range []uint32{10, 29, 60, 1 << 20} {
		_, known := arrivals.At(start + offset)
		assert.False(t, known, "offset %d", offset)
	}
	_, known := arrivals.At(start - 1)
	assert.False(t, known, "older than all")

	var none *Arrivals
	_, known = none.At(start)
	assert.False(t, known)
	assert.False(t, none.Several())
	assert.True(t, arrivals.Several())
	assert.False(t, (&Arrivals{{}}).Several())
}
