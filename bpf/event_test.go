package bpf

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEventLayout(t *testing.T) {
	assert.Equal(t, 64, eventSize, "one cache line")
	assert.Zero(t, (Accepted|Awaited|Left|Reset|Broken|OwnNetwork)&uint8(observerEventFlagFLAG_WORDS), "flags that count words have bits of their own")
}

func TestDecodePassesOverFurtherWords(t *testing.T) {
	for words := range 4 {
		record := encode(7, "payload", make([]uint64, words)...)
		event, payload, ok := decode(record)
		require.True(t, ok, "%d words", words)
		assert.EqualValues(t, 7, event.Time)
		assert.Equal(t, "payload", string(payload), "%d words", words)
		assert.Same(t, &record[0], (*byte)(unsafe.Pointer(event)), "the head is in the memory of the record")

		_, payload, ok = decode(record[:eventSize+8*words])
		assert.True(t, ok)
		assert.Empty(t, payload)
		_, _, ok = decode(record[:eventSize+8*words-1])
		assert.False(t, ok, "a record that ends before its payload")
	}
}

// Events with and without further words follow each other in the ring buffer and in a per-CPU ring,
// over its end too.
func TestFurtherWordsInBothQueues(t *testing.T) {
	m, ring, rings := newTestMerge(1)
	for now := range uint64(1000) {
		words := make([]uint64, now%4)
		text := []string{"", "$3\r\n", "*1\r\n$4\r\nPING\r\n"}[now%3]
		if now%2 == 0 {
			ring.begin(now, text, words...)()
		} else {
			require.True(t, rings[0].write(now, text, words...))
		}
		event, payload := m.next()
		require.NotNil(t, event)
		require.Equal(t, now, event.Time)
		require.Equal(t, text, string(payload))
	}
	assert.Empty(t, m.rest())
}

func TestArrivalsOf(t *testing.T) {
	const places = 16
	payload := func(count, behind uint64) []byte {
		c := observerArrivalsCopy{CountBehind: behind}
		c.Arrivals.Count = count
		for i := range count { // the later ones overwrite the earlier ones
			at := &c.Arrivals.Latest[i%places]
			at.From, at.End, at.Time = uint32(10*i), uint32(10*i+10), i
		}
		return unsafe.Slice((*byte)(unsafe.Pointer(&c)), unsafe.Sizeof(c))
	}
	for _, test := range []struct {
		name           string
		count, behind  uint64
		oldest, newest int
	}{
		{"one", 1, 1, 0, 0},
		{"all places", places - 1, places - 1, 0, places - 2},
		{"one place may be written anew", places, places, 1, places - 1},
		{"many", 100, 100, 85, 99},
		{"some came meanwhile", 100, 103, 88, 99},
		{"too many came meanwhile", 100, 115, 100, 99},
	} {
		t.Run(test.name, func(t *testing.T) {
			list := ArrivalsOf(payload(test.count, test.behind), nil)
			require.Len(t, list, test.newest-test.oldest+1)
			for i, a := range list {
				n := test.oldest + i
				assert.Equal(t, Arrival{From: uint32(10 * n), End: uint32(10*n + 10), Time: uint64(n)}, a)
			}
		})
	}
	whole := payload(1, 1)
	assert.Empty(t, ArrivalsOf(whole[:len(whole)-1], nil), "a payload that ends early")
}
