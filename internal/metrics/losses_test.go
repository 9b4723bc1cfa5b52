package metrics

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// The times of losses are those at which the counters grew, whoever looks when. A counter at 0 has none.
func TestLossTimes(t *testing.T) {
	r := newPedantic(testOptions())
	now := time.Unix(1000, 0)
	var lost uint64
	var stats correlate.Stats
	r.NoteLosses() // before Watch
	r.Watch(Sources{
		Capture: func() event.Stats { return event.Stats{Lost: map[string]uint64{"ring_full": lost}} },
		Tracker: func() correlate.Stats { return stats },
		Now:     func() time.Time { return now },
	})
	times := func() map[string]float64 { return mustFlatten(t, r, "redis_observer_last_loss") }
	of := func(counter, reason string, begin, end float64) map[string]float64 {
		name := "redis_observer_last_loss_timestamp_seconds{counter=" + counter
		return map[string]float64{name + ",edge=begin,reason=" + reason + "}": begin, name + ",edge=end,reason=" + reason + "}": end}
	}
	stats.Gaps[event.Truncated].Skipped = 1
	assert.Empty(t, times(), "nothing was lost")

	note := func(after time.Duration) {
		now = now.Add(after)
		r.NoteLosses()
	}
	lost = 5
	note(time.Second)
	note(time.Second)
	assert.Equal(t, of("capture_lost_events", "ring_full", 1001, 1001), times())
	lost = 6
	note(time.Minute)
	note(time.Second)
	assert.Equal(t, of("capture_lost_events", "ring_full", 1001, 1062), times())
	lost = 7
	note(lossPause)
	assert.Equal(t, of("capture_lost_events", "ring_full", 1663, 1663), times(), "after a pause it begins anew")
	lost = 8
	now = now.Add(time.Second)
	assert.Equal(t, of("capture_lost_events", "ring_full", 1663, 1664), times(), "a scrape notes it too")

	lost = 0
	r = newPedantic(testOptions())
	r.Watch(Sources{
		Capture: func() event.Stats { return event.Stats{} }, Tracker: func() correlate.Stats { return stats }, Now: func() time.Time { return now },
	})
	for _, one := range []struct {
		counter, reason string
		grow            func()
	}{
		{"gaps", "truncated", func() { stats.Gaps[event.Truncated].Broken++ }},
		{"evicted_connections", "", func() { stats.Evicted++ }},
		{"lost_connections", "", func() { stats.LostConnections++ }},
		{"held_overflow", "", func() { stats.HeldOverflow++ }},
		{"unpaired_commands", "gap", func() { r.Record(&session.Exchange{Outcome: session.Unpaired, Reason: session.Gap, Count: 2}) }},
		{"unanswered_commands", "client_closed", func() {
			r.Record(&session.Exchange{Outcome: session.Unanswered, Reason: session.ClientClosed, Count: 1})
		}},
	} {
		before := times()
		one.grow()
		now = now.Add(time.Second)
		r.NoteLosses()
		after := times()
		assert.Len(t, after, len(before)+2, one.counter)
		assert.Subset(t, after, of(one.counter, one.reason, float64(now.Unix()), float64(now.Unix())))
	}
	before := times()
	r.Record(&session.Exchange{Outcome: session.Unanswered, Reason: session.ServerClosed, Count: 1})
	now = now.Add(time.Second)
	assert.Equal(t, before, times(), "counted as an error")
}

func BenchmarkNoteLosses(b *testing.B) {
	r := New(testOptions())
	sources := testSources()
	sources.Now = time.Now
	r.Watch(sources)
	b.ReportAllocs()
	for b.Loop() {
		r.NoteLosses()
	}
}
