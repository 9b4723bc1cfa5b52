package correlate

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// A great many connections to one address push out each other, and not those to another one, however silent these are.
func TestTableIsShared(t *testing.T) {
	w := newCrowd(t, Options{MaxConnections: 1000})
	for conn := range uint64(100) { // a pool, idle from now on
		w.to[conn] = 1
		w.open(conn)
		w.rounds(conn, 1, pingRequest, pong)
	}
	w.now += int64(time.Minute)
	for conn := range uint64(20_000) {
		conn += 1000
		w.to[conn] = 2
		w.open(conn)
		w.rounds(conn, 1, pingRequest, pong)
	}
	assert.EqualValues(t, 1000, w.tracker.Stats().Tracked)
	assert.EqualValues(t, 20_000-900, w.tracker.Stats().Evicted)
	for conn := range uint64(100) {
		w.rounds(conn, 1, pingRequest, pong)
		assert.Equal(t, 2, w.counted[conn])
	}
	assert.Zero(t, w.lost())
}

// Within a group, and among small ones, it is the silent ones that go.
func TestSilentOnesAreEvicted(t *testing.T) {
	for name, to := range map[string]func(uint64) byte{
		"one address":    func(uint64) byte { return 1 },
		"many addresses": func(conn uint64) byte { return byte(conn) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newCrowd(t, Options{MaxConnections: 1000})
			w.open(1)
			for conn := range uint64(5000) {
				conn += 1000
				w.to[conn] = to(conn)
				w.open(conn)
				w.rounds(1, 1, pingRequest, pong)
			}
			assert.Equal(t, 5000, w.counted[1])
			assert.Zero(t, w.lost())
		})
	}
}

// An evicted connection is reported by its outstanding commands.
func TestEvictedIsCountedInFull(t *testing.T) {
	w := newCrowd(t, Options{MaxConnections: 100})
	for conn := range uint64(1000) {
		w.open(conn)
		w.send(conn, event.Request, setGet(20))
	}
	assert.Equal(t, 20_000, w.outstanding()+w.unpaired[session.Evicted])
	assert.Equal(t, 100*20, w.outstanding())
}

// Those that are not observed are remembered, as many as there is room for, and forgotten one by one.
func TestStrangersAreBounded(t *testing.T) {
	w := newCrowd(t, Options{MaxConnections: 100})
	lookups := 0
	w.tracker.options.Resolve = func(event.Role, *event.Endpoints) (identity.ID, bool) { lookups++; return 0, false }
	for conn := range uint64(1000) {
		w.open(conn)
		require.LessOrEqual(t, len(w.tracker.ignored), 100)
	}
	assert.Len(t, w.tracker.ignored, 100)
	lookups = 0
	for id := range w.tracker.ignored {
		w.send(id, event.Request, pingRequest)
	}
	assert.Zero(t, lookups, "the others are still remembered")
}

// What one event completes is handed on before it is much, and all of it.
func TestSpill(t *testing.T) {
	const n = 50_000
	var w *crowd
	w = newCrowd(t, Options{Spill: func(some []session.Exchange) { w.take(1, some) }})
	w.open(1)
	for range n / 100 {
		w.now++
		w.send(1, event.Request, setGet(100))
	}
	w.close(1)
	assert.Equal(t, n, w.commands)
	assert.LessOrEqual(t, w.largest, session.MaxListed)
	assert.LessOrEqual(t, cap(w.tracker.shared.Out.List), 2*session.MaxListed)
}

// What a process of the size that the manifests ship may hold at worst fits it.
func TestFit(t *testing.T) {
	const mib = 1 << 20
	var o Options
	o.Fit(192 * mib)
	assert.Equal(t, []int{1 << 16, 1 << 20, 16 * mib}, []int{o.MaxConnections, o.MaxOutstandingTotal, o.MaxHeldTotal})
	o.Fit(math.MaxInt64)
	assert.Equal(t, []int{1 << 18, 1 << 21, 64 * mib}, []int{o.MaxConnections, o.MaxOutstandingTotal, o.MaxHeldTotal})
	o.Fit(0)
	assert.Equal(t, []int{1 << 10, 1 << 14, mib}, []int{o.MaxConnections, o.MaxOutstandingTotal, o.MaxHeldTotal})
}

// The worst state of a tracker takes no more than four fifths of the memory for which it was made, as counted by the runtime.
func TestWorstStateFits(t *testing.T) {
	const memory = 12 << 20 // a 16th of what is shipped
	options := Options{HoldFor: time.Hour}
	options.Fit(memory)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	w := newCrowd(t, options)
	text, unasked := setGet(1000), strings.Repeat(pong, 300)
	for conn := range uint64(2 * options.MaxConnections) { // each with an address of its own, and out of room
		w.event(event.Event{Kind: event.Open, Conn: conn, Endpoints: event.Endpoints{Remote: [16]byte{1, byte(conn), byte(conn >> 8), byte(conn >> 16)}}})
		w.tracker.ignore(conn+1<<32, origin{}, event.NoTrait)
	}
	for conn := range w.tracker.conns {
		c := w.tracker.conns[conn]
		for _, part := range []string{text[:8000], text[8000:16000], text[16000:]} {
			c.event(&event.Event{Kind: event.Data, Conn: conn, Data: []byte(part), Seq: c.buffers[event.Request].Next(), Time: w.now})
		}
		if conn%2 == 0 {
			c.event(&event.Event{Kind: event.Data, Direction: event.Reply, Conn: conn, Data: []byte(unasked), Seq: 100, Time: w.now})
		}
		w.tracker.shared.Out.List = w.tracker.shared.Out.List[:0]
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	s := w.tracker
	assert.Len(t, s.conns, options.MaxConnections)
	assert.Len(t, s.groups, options.MaxConnections)
	assert.Len(t, s.ignored, options.MaxConnections)
	assert.Greater(t, s.slots.used, s.slots.limit*9/10)
	assert.Greater(t, s.held.used, s.held.limit*9/10)
	took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d connections took %d bytes", len(s.conns), took)
	assert.Less(t, took, int64(memory*4/5))
}

// The groups go with their connections.
func TestGroupsAreForgotten(t *testing.T) {
	w := newCrowd(t, Options{MaxConnections: 100})
	for conn := range uint64(1000) {
		w.to[conn] = byte(conn % 200)
		w.open(conn)
		require.LessOrEqual(t, len(w.tracker.groups), 100)
	}
	for conn := range uint64(1000) {
		w.close(conn)
	}
	assert.Empty(t, w.tracker.groups)
	assert.Empty(t, w.tracker.table.groups.entries)
	assert.Zero(t, w.tracker.table.used)
}

// However many connections there are, neither a listing nor new names keep an event waiting for all of them.
func TestErrandsAreDoneByAndBy(t *testing.T) {
	const n = 5000
	w := newCrowd(t, Options{})
	for conn := range uint64(n) {
		w.open(conn)
	}
	w.now++
	w.event(event.Event{Kind: event.Listed, Time: w.now})
	assert.Equal(t, n-stepsOfEvent, len(w.tracker.conns))
	w.open(n)
	for range n/stepsOfEvent + 1 {
		w.rounds(n, 1, pingRequest, pong)
	}
	assert.Len(t, w.tracker.conns, 1, "what was heard of meanwhile is kept")
	assert.False(t, w.tracker.errant)

	for conn := range uint64(n) {
		w.open(conn)
	}
	observed := false
	w.tracker.options.Resolve = func(event.Role, *event.Endpoints) (identity.ID, bool) { return 1, observed }
	for _, observed = range []bool{false, true, false} {
		w.tracker.Rename(nil)
		for range n/stepsOfTick + 1 {
			w.pass(time.Millisecond)
		}
		assert.False(t, w.tracker.errant)
		if observed {
			assert.Len(t, w.tracker.conns, n+1)
			assert.Empty(t, w.tracker.ignored)
		} else {
			assert.Empty(t, w.tracker.conns)
			assert.Len(t, w.tracker.ignored, n+1)
		}
	}
}

// An errand that goes on within Rename loses none of its results.
func TestRenameReturnsResults(t *testing.T) {
	const n = 10 * stepsOfEvent
	w := newCrowd(t, Options{})
	for conn := range uint64(n) {
		w.open(conn)
		w.send(conn, event.Request, pingRequest)
	}
	w.now++
	w.event(event.Event{Kind: event.Listed, Time: w.now}) // all are gone
	w.take(0, w.tracker.Rename(nil))
	for w.tracker.errant {
		w.pass(time.Millisecond)
	}
	assert.Equal(t, n, w.unpaired[session.LostClose])
}

// There may be very many connections to rename.
func TestRenamingAllocatesNothing(t *testing.T) {
	w := newCrowd(t, Options{})
	w.open(1)
	w.tracker.options.Resolve = func(event.Role, *event.Endpoints) (identity.ID, bool) { return 1, true }
	assert.Zero(t, testing.AllocsPerRun(100, func() { w.tracker.rename(w.tracker.conns[1]) }))
}

func BenchmarkErrand(b *testing.B) {
	w := newCrowd(b, Options{})
	for conn := range uint64(w.tracker.options.MaxConnections) {
		w.open(conn)
	}
	w.tracker.options.Resolve = func(event.Role, *event.Endpoints) (identity.ID, bool) { return 1, true }
	for b.Loop() { // the longest that an event waits
		w.tracker.Rename(nil)
	}
}
