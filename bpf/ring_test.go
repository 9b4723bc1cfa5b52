package bpf

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// testRing is a ring that a test writes to as the kernel does.
type testRing struct {
	*ring
	written *uint64
}

func newTestRing(size int) testRing {
	var consumer, producer uint64
	return testRing{&ring{consumer: &consumer, producer: &producer, data: make([]byte, size), mask: uint64(size - 1)}, &producer}
}

// begin writes an event that is still busy, and returns the function that completes it.
func (r testRing) begin(time uint64, payload string, words ...uint64) (commit func()) {
	at := *r.written
	header := (*uint32)(unsafe.Pointer(&r.data[at&r.mask]))
	record := encode(time, payload, words...)
	atomic.StoreUint32(header, uint32(len(record))|recordBusy)
	for i := range record {
		r.data[(at+recordHeader+uint64(i))&r.mask] = record[i]
	}
	atomic.StoreUint64(r.written, at+recordHeader+uint64(len(record)+7)&^7)
	return func() { atomic.StoreUint32(header, uint32(len(record))) }
}

// encode makes an event as the probes write it, with further words.
func encode(time uint64, payload string, words ...uint64) []byte {
	record := make([]byte, eventSize)
	event := (*Event)(unsafe.Pointer(&record[0]))
	event.Time, event.Len, event.Kind = time, uint32(len(payload)), Sent
	event.Flags = uint8(len(words)) * uint8(observerEventFlagFLAG_WORD)
	for _, word := range words {
		record = binary.NativeEndian.AppendUint64(record, word)
	}
	return append(record, payload...)
}

// BenchmarkRing steps through a ring that is always full of small records.
func BenchmarkRing(b *testing.B) {
	const length = 120
	r := newTestRing(64 << 10)
	for range len(r.data) / (recordHeader + length) {
		r.begin(0, string(make([]byte, length-eventSize)))()
	}
	filled := *r.written
	b.ReportAllocs()
	for b.Loop() {
		if r.position == filled {
			r.position, r.published = 0, 0
		}
		if !r.peek() || len(r.payload) != length-eventSize {
			require.FailNow(b, "a record is not read")
		}
		r.skip()
	}
}

func TestRingReadsWhatWrapsAround(t *testing.T) {
	r := newTestRing(256)
	for _, text := range []string{"abcdefghijklm", "of which some lie at the end of the data", "", "12345678", "the header lies last, the text first"} {
		commit := r.begin(0, text)
		require.False(t, r.peek(), "it is being written")
		commit()
		require.True(t, r.peek())
		require.Equal(t, text, string(r.payload))
		r.skip()
		require.Equal(t, r.end(), r.position)
		r.publish()
		require.Equal(t, r.end(), *r.consumer, "the room is given back")
	}
}

func TestRingPassesOverWhatIsNoEvent(t *testing.T) {
	r := newTestRing(256)
	*(*uint32)(unsafe.Pointer(&r.data[0])) = 8 | recordDiscard
	*r.written = recordHeader + 8
	require.True(t, r.peek())
	require.Zero(t, r.event.Kind)
	r.skip()
	require.Equal(t, r.end(), r.position)
}
