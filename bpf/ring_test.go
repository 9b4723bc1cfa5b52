package bpf

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// BenchmarkRing steps through a ring that is always full of small records.
func BenchmarkRing(b *testing.B) {
	const (
		size   = 64 << 10
		length = 120
		stride = recordHeader + length
	)
	var consumer, producer uint64
	r := &ring{consumer: &consumer, producer: &producer, data: make([]byte, size), mask: size - 1}
	for start := 0; start < size; start += stride {
		*(*uint32)(unsafe.Pointer(&r.data[start])) = length
		r.data[start+recordHeader] = 1
	}
	b.ReportAllocs()
	for b.Loop() {
		if r.position == producer {
			producer += size
		}
		if event, payload, ok := decode(r.next()); !ok || event == nil || len(payload) != length-eventSize {
			require.FailNow(b, "a record is not read")
		}
	}
}

func TestRingReadsWhatWrapsAround(t *testing.T) {
	const size = 64
	var consumer, producer uint64
	r := &ring{consumer: &consumer, producer: &producer, data: make([]byte, size), mask: size - 1}
	put := func(text string) {
		start := producer & r.mask
		*(*uint32)(unsafe.Pointer(&r.data[start])) = uint32(len(text))
		for i := range len(text) {
			r.data[(start+recordHeader+uint64(i))&r.mask] = text[i]
		}
		producer += recordHeader + uint64(len(text)+7)&^7
	}
	for _, text := range []string{"abcdefghijklm", "of which some lie at the end of the data", "", "12345678", "the header lies last, the text first"} {
		put(text)
		require.Equal(t, text, string(r.next()))
		require.Nil(t, r.next())
		require.Equal(t, producer, consumer, "the room is given back")
	}
}
