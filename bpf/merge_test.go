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

const testLaneSize = 4096

// testLane is a lane that a test writes to as the probes do. It reports false if there is no room.
type testLane struct{ *lane }

func newTestLane() lane { return newLane(make([]byte, laneBytes(testLaneSize))) }

func (l testLane) write(time uint64, payload string, words ...uint64) bool {
	record := encode(time, payload, words...)
	at, size := l.end(), uint64(len(record)+7)&^7
	if at+size-atomic.LoadUint64(l.consumed) > testLaneSize {
		return false
	}
	copy(l.events[at&l.mask:], record)
	atomic.StoreUint64(l.produced, at+size)
	return true
}

// newTestMerge returns a merge of a ring and n lanes.
func newTestMerge(n int) (*merge, testRing, []testLane) {
	r := newTestRing(1 << 20)
	lanes := make([]lane, n)
	for i := range lanes {
		lanes[i] = newTestLane()
	}
	m := newMerge(r.ring, lanes)
	var writers []testLane
	for i := range lanes {
		writers = append(writers, testLane{&m.lanes[i]})
	}
	return m, r, writers
}

// rest reads all that there is.
func (m *merge) rest() (times []uint64) {
	for event, _ := m.next(); event != nil; event, _ = m.next() {
		times = append(times, event.Time)
	}
	return times
}

func TestMergeGoesByTime(t *testing.T) {
	m, ring, lanes := newTestMerge(3)
	assert.Empty(t, m.rest())
	var want []uint64
	random := rand.New(rand.NewPCG(1, 2))
	for now := range uint64(100) {
		want = append(want, now)
		switch queue := random.IntN(4); queue {
		case 3:
			ring.begin(now, "ring")()
		default:
			require.True(t, lanes[queue].write(now, "lane"))
		}
	}
	assert.Equal(t, want, m.rest())
	for _, l := range lanes {
		assert.Equal(t, l.end(), *l.consumed, "the room is given back")
	}
}

func TestMergeTakesTheRingFirst(t *testing.T) {
	m, ring, lanes := newTestMerge(1)
	require.True(t, lanes[0].write(7, "sent"))
	ring.begin(7, "opened")()
	_, payload := m.next()
	assert.Equal(t, "opened", string(payload))
	_, payload = m.next()
	assert.Equal(t, "sent", string(payload))
}

func TestMergeWaitsForWhatIsBeingWritten(t *testing.T) {
	m, ring, lanes := newTestMerge(1)
	commit := ring.begin(1, "opened")
	require.True(t, lanes[0].write(2, "sent"))
	assert.Empty(t, m.rest())
	assert.True(t, m.stuck)
	commit()
	assert.Equal(t, []uint64{1, 2}, m.rest())
	assert.False(t, m.stuck)
}

func TestMergeReadsLanesOverTheirEnd(t *testing.T) {
	m, _, lanes := newTestMerge(1)
	for i := range 1000 {
		text := strings.Repeat("x", i*37%2000)
		require.True(t, lanes[0].write(uint64(i), text))
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
	m, ring, lanes := newTestMerge(2)
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
				for !lanes[queue%2].write(now, fmt.Sprint(now)) {
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

func TestLaneLayout(t *testing.T) {
	assert.EqualValues(t, 4096, unsafe.Sizeof(observerLane{}))
	assert.EqualValues(t, 64, unsafe.Offsetof(observerLane{}.Consumed), "on a cache line of its own")
	// The longest event of a lane fits into the slack (lane.h: shorter than SKIP_CALL).
	assert.Less(t, eventSize+2048, int(observerLaneSlackLANE_SLACK))
}

func TestLanesTakeNoMoreThanTheRing(t *testing.T) {
	for _, size := range []uint32{4096, 64 << 10, 16 << 20, 1 << 30} {
		lanes, bytes, err := lanesHere(size)
		require.NoError(t, err)
		assert.LessOrEqual(t, uint64(lanes)*uint64(bytes), uint64(size))
		assert.LessOrEqual(t, bytes, uint32(largestLane))
		assert.Zero(t, bytes&(bytes-1), "a power of two")
	}
}

// BenchmarkMerge steps through what two lanes hold in turn.
func BenchmarkMerge(b *testing.B) {
	m, _, lanes := newTestMerge(2)
	b.ReportAllocs()
	now := uint64(0)
	for b.Loop() {
		event, _ := m.next()
		if event == nil {
			b.StopTimer()
			for lanes[now%2].write(now, "$3\r\nxxx\r\n") {
				now++
			}
			b.StartTimer()
		}
	}
}
