package correlate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture"
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

// An evicted connection is told of by what it had outstanding.
func TestEvictedIsCountedInFull(t *testing.T) {
	w := newCrowd(t, Options{MaxConnections: 100})
	for conn := range uint64(1000) {
		w.open(conn)
		w.send(conn, capture.Request, setGet(20))
	}
	assert.Equal(t, 20_000, w.outstanding()+w.unpaired[Evicted])
	assert.Equal(t, 100*20, w.outstanding())
}

// Those that are not observed are remembered, as many as there is room for, and forgotten one by one.
func TestStrangersAreBounded(t *testing.T) {
	w := newCrowd(t, Options{MaxConnections: 100})
	lookups := 0
	w.tracker.options.Resolve = func(capture.Role, *capture.Endpoints) (NameID, bool) { lookups++; return 0, false }
	for conn := range uint64(1000) {
		w.open(conn)
		require.LessOrEqual(t, len(w.tracker.ignored), 100)
	}
	assert.Len(t, w.tracker.ignored, 100)
	lookups = 0
	for id := range w.tracker.ignored {
		w.send(id, capture.Request, pingRequest)
	}
	assert.Zero(t, lookups, "the others are still remembered")
}

// What one event completes is handed on before it is much, and all of it.
func TestSpill(t *testing.T) {
	const n = 50_000
	var w *crowd
	w = newCrowd(t, Options{Spill: func(some []Exchange) { w.take(1, some) }})
	w.open(1)
	for range n / 100 {
		w.now++
		w.send(1, capture.Request, setGet(100))
	}
	w.close(1)
	assert.Equal(t, n, w.commands)
	assert.LessOrEqual(t, w.largest, spilled)
	assert.LessOrEqual(t, cap(w.tracker.out), 2*spilled)
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
	w.event(capture.Event{Kind: capture.Listed, Time: w.now})
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
	w.tracker.options.Resolve = func(capture.Role, *capture.Endpoints) (NameID, bool) { return 1, observed }
	for _, observed = range []bool{false, true, false} {
		w.tracker.Rename()
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

func BenchmarkErrand(b *testing.B) {
	w := newCrowd(b, Options{})
	for conn := range uint64(w.tracker.options.MaxConnections) {
		w.open(conn)
	}
	w.tracker.options.Resolve = func(capture.Role, *capture.Endpoints) (NameID, bool) { return 1, true }
	for b.Loop() { // the longest that an event waits
		w.tracker.Rename()
	}
}
