package bpf

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const testPercpuRingSize = 4096

// testPercpuRing is a per-CPU ring that a test writes to as the probes do. write returns false if
// there is no room.
type testPercpuRing struct{ *percpuRing }

func newTestPercpuRing() percpuRing {
	return newPercpuRing(make([]byte, percpuRingBytes(testPercpuRingSize)))
}

func (l testPercpuRing) write(time uint64, payload string, words ...uint64) bool {
	record := encode(time, payload, words...)
	at, size := l.end(), uint64(len(record)+7)&^7
	if at+size-atomic.LoadUint64(l.consumed) > testPercpuRingSize {
		return false
	}
	copy(l.events[at&l.mask:], record)
	atomic.StoreUint64(l.produced, at+size)
	return true
}

// newTestMerge returns a merge of a ring buffer and n per-CPU rings.
func newTestMerge(n int) (*merge, testRing, []testPercpuRing) {
	r := newTestRing(1 << 20)
	rings := make([]percpuRing, n)
	for i := range rings {
		rings[i] = newTestPercpuRing()
	}
	m := newMerge(r.ring, rings)
	var writers []testPercpuRing
	for i := range rings {
		writers = append(writers, testPercpuRing{&m.percpu[i]})
	}
	return m, r, writers
}

// rest reads all events, and returns their times.
func (m *merge) rest() (times []uint64) {
	for event, _ := m.next(); event != nil; event, _ = m.next() {
		times = append(times, event.Time)
	}
	return times
}

func TestMergeGoesByTime(t *testing.T) {
	m, ring, rings := newTestMerge(3)
	assert.Empty(t, m.rest())
	var want []uint64
	random := rand.New(rand.NewPCG(1, 2))
	for now := range uint64(100) {
		want = append(want, now)
		switch queue := random.IntN(4); queue {
		case 3:
			ring.begin(now, "ring")()
		default:
			require.True(t, rings[queue].write(now, "per-CPU ring"))
		}
	}
	assert.Equal(t, want, m.rest())
	for _, l := range rings {
		assert.Equal(t, l.end(), *l.consumed, "the room is given back")
	}
}

func TestMergeTakesTheRingFirst(t *testing.T) {
	m, ring, rings := newTestMerge(1)
	require.True(t, rings[0].write(7, "sent"))
	ring.begin(7, "opened")()
	_, payload := m.next()
	assert.Equal(t, "opened", string(payload))
	_, payload = m.next()
	assert.Equal(t, "sent", string(payload))
}

func TestMergeWaitsForWhatIsBeingWritten(t *testing.T) {
	m, ring, rings := newTestMerge(1)
	commit := ring.begin(1, "opened")
	require.True(t, rings[0].write(2, "sent"))
	assert.Empty(t, m.rest())
	assert.True(t, m.stuck)
	commit()
	assert.Equal(t, []uint64{1, 2}, m.rest())
	assert.False(t, m.stuck)
}

func TestMergeReadsPercpuRingsOverTheirEnd(t *testing.T) {
	m, _, rings := newTestMerge(1)
	for i := range 1000 {
		text := strings.Repeat("x", i*37%2000)
		require.True(t, rings[0].write(uint64(i), text))
		_, payload := m.next()
		require.Equal(t, text, string(payload))
		if i%3 == 0 {
			event, _ := m.next()
			require.Nil(t, event)
		}
	}
}

// Events whose writers wait for each other come in their order, whenever the reader looks.
func TestMergeKeepsCauseBeforeEffect(t *testing.T) {
	m, ring, rings := newTestMerge(2)
	const events = 50_000
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	go func() {
		random := rand.New(rand.NewPCG(seed, 0))
		for now := range uint64(events) {
			switch queue := random.IntN(20); queue {
			case 0:
				for ring.end()-atomic.LoadUint64(ring.consumer) > 1<<19 {
					runtime.Gosched()
				}
				ring.begin(now, "")()
			default:
				for !rings[queue%2].write(now, fmt.Sprint(now)) {
					runtime.Gosched()
				}
			}
		}
	}()
	var got []uint64
	for deadline := time.Now().Add(time.Minute); len(got) < events && time.Now().Before(deadline); {
		got = append(got, m.rest()...)
	}
	require.Len(t, got, events)
	assert.True(t, slices.IsSorted(got))
}

func TestPercpuRingLayout(t *testing.T) {
	assert.EqualValues(t, 4096, unsafe.Sizeof(observerPercpuRing{}))
	assert.EqualValues(t, 64, unsafe.Offsetof(observerPercpuRing{}.Consumed), "on a cache line of its own")
	// The longest event of a per-CPU ring, whose payload is shorter than LONG_CALL, fits into the
	// slack.
	assert.Less(t, eventSize+2048, int(observerPercpuRingSlackPERCPU_RING_SLACK))
}

func TestPercpuRingsTakeNoMoreThanTheRingBuffer(t *testing.T) {
	for _, size := range []uint32{4096, 64 << 10, 16 << 20, 1 << 30} {
		rings, bytes, err := percpuRingsHere(size)
		require.NoError(t, err)
		assert.LessOrEqual(t, uint64(rings)*uint64(bytes), uint64(size))
		assert.LessOrEqual(t, bytes, uint32(maxPercpuRing))
		assert.Zero(t, bytes&(bytes-1), "a power of two")
	}
}

// BenchmarkMerge steps through the events of two per-CPU rings in turn, beside those of other CPUs that have none.
func BenchmarkMerge(b *testing.B) {
	for _, processors := range []int{2, 16, 64, 256} {
		b.Run(fmt.Sprintf("cpus=%d", processors), func(b *testing.B) {
			m, _, rings := newTestMerge(2 * processors)
			b.ReportAllocs()
			now := uint64(0)
			for b.Loop() {
				event, _ := m.next()
				if event == nil {
					b.StopTimer()
					for rings[now%2].write(now, "$3\r\nxxx\r\n") {
						now++
					}
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkLook looks at the rings of CPUs that have written nothing since, as a drain does that finds nothing.
func BenchmarkLook(b *testing.B) {
	for _, processors := range []int{2, 16, 64, 256} {
		b.Run(fmt.Sprintf("cpus=%d", processors), func(b *testing.B) {
			m, _, _ := newTestMerge(2 * processors)
			b.ReportAllocs()
			for b.Loop() {
				m.next()
			}
		})
	}
}
