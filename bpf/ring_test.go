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
