package metrics

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// lossy is a Recorder that notes losses of a test.
type lossy struct {
	*Recorder
	now     time.Time
	capture event.Stats
	tracker correlate.Stats
}

func newLossy() *lossy {
	l := &lossy{Recorder: newPedantic(testOptions()), now: time.Unix(1000, 0), capture: event.Stats{Lost: map[string]uint64{}}}
	l.NoteLosses() // before Watch
	l.Watch(Sources{
		Capture: func() event.Stats { return l.capture }, Tracker: func() correlate.Stats { return l.tracker }, Now: func() time.Time { return l.now },
	})
	return l
}

// note notes after a time.
func (l *lossy) note(after time.Duration) {
	l.now = l.now.Add(after)
	l.NoteLosses()
}

func (l *lossy) unpair(reason session.Reason, n uint32) {
	l.Record(&session.Exchange{Outcome: session.Unpaired, Reason: reason, Count: n})
}

// of returns the begin and the end of the last episode of a counter, and by how much it grew.
func (l *lossy) of(t *testing.T, counter, reason string) [3]float64 {
	t.Helper()
	all := mustFlatten(t, l.Recorder, "redis_observer_last_loss")
	const times = "redis_observer_last_loss_timestamp_seconds{counter="
	return [3]float64{
		all[times+counter+",edge=begin,reason="+reason+"}"], all[times+counter+",edge=end,reason="+reason+"}"],
		all["redis_observer_last_loss_count{counter="+counter+",reason="+reason+"}"],
	}
}

func (l *lossy) episodes(t *testing.T) float64 {
	t.Helper()
	return mustFlatten(t, l.Recorder, "redis_observer_loss_episodes_total")["redis_observer_loss_episodes_total"]
}

// The times of losses are those at which the counters grew, whoever looks when. A counter at 0 has none.
func TestLossTimes(t *testing.T) {
	l := newLossy()
	l.tracker.Gaps[event.Truncated].Skipped = 1
	assert.Empty(t, mustFlatten(t, l.Recorder, "redis_observer_last_loss"), "nothing was lost")
	assert.Zero(t, l.episodes(t))
	l.capture.Lost["ring_full"] = 5
	l.note(time.Second)
	l.note(time.Second)
	assert.Equal(t, [3]float64{1001, 1001, 5}, l.of(t, "capture_lost_events", "ring_full"))
	l.capture.Lost["ring_full"] = 6
	l.note(LossPause - time.Second)
	assert.Equal(t, [3]float64{1001, 1061, 6}, l.of(t, "capture_lost_events", "ring_full"), "a minute without a loss is not over")
	l.capture.Lost["ring_full"] = 8
	l.note(LossPause + time.Second)
	assert.Equal(t, [3]float64{1122, 1122, 2}, l.of(t, "capture_lost_events", "ring_full"), "after a pause it begins anew")
	l.capture.Lost["ring_full"] = 9
	l.now = l.now.Add(time.Second)
	assert.Equal(t, [3]float64{1122, 1123, 3}, l.of(t, "capture_lost_events", "ring_full"), "a scrape notes it too")
	assert.Equal(t, 2.0, l.episodes(t))
	l.capture.Lost["ring_full"] = 7
	l.note(time.Second)
	assert.Equal(t, [3]float64{1122, 1123, 3}, l.of(t, "capture_lost_events", "ring_full"), "counters that were read before the last note")
}

// An episode is one of all counters: what ends and begins again within it is not two of them. What is
// harmless neither begins nor prolongs one.
func TestLossEpisodes(t *testing.T) {
	l := newLossy()
	l.unpair(session.MidStream, 1)
	l.note(time.Second)
	assert.Zero(t, l.episodes(t))
	assert.Equal(t, [3]float64{1001, 1001, 1}, l.of(t, "unpaired_commands", "mid_stream"))
	for i := range uint64(3) {
		l.capture.Lost["ring_full"] += 10
		l.note(40 * time.Second)
		l.tracker.Gaps[event.Unreadable].Broken++
		l.note(40 * time.Second)
		assert.Equal(t, 1.0, l.episodes(t), i)
	}
	assert.Equal(t, [3]float64{1041, 1201, 30}, l.of(t, "capture_lost_events", "ring_full"), "80 s apart, with others in between")
	assert.Equal(t, [3]float64{1081, 1241, 3}, l.of(t, "gaps", "unreadable"))
	for range 10 {
		l.unpair(session.MidStream, 1)
		l.note(10 * time.Second)
	}
	l.capture.Lost["ring_full"]++
	l.note(time.Second)
	assert.Equal(t, 2.0, l.episodes(t))
	assert.Equal(t, [3]float64{1342, 1342, 1}, l.of(t, "capture_lost_events", "ring_full"))
	assert.Equal(t, [3]float64{1081, 1241, 3}, l.of(t, "gaps", "unreadable"), "not lost in the last one")
}

// The share of lost events is that of the same seconds: it does not sink afterwards.
func TestLossRatio(t *testing.T) {
	l := newLossy()
	ratio := func() float64 {
		return mustFlatten(t, l.Recorder, "redis_observer_last_loss_ratio")["redis_observer_last_loss_ratio{reason=ring_full}"]
	}
	l.capture.Events = 1_000_000
	l.note(time.Second)
	l.capture.Events, l.capture.Lost["ring_full"] = 1_000_100, 100
	l.note(time.Second)
	assert.InDelta(t, 0.5, ratio(), 1e-9)
	l.capture.Events, l.capture.Lost["ring_full"] = 1_000_200, 300
	l.note(time.Second)
	assert.InDelta(t, 0.6, ratio(), 1e-9)
	l.capture.Events = 2_000_000
	l.note(time.Hour)
	assert.InDelta(t, 0.6, ratio(), 1e-9)
	l.capture.Events, l.capture.Lost["ring_full"] = 2_000_900, 400
	l.note(time.Second)
	assert.InDelta(t, 0.1, ratio(), 1e-9)
}

// Each counter of losses has times.
func TestAllLossesAreNoted(t *testing.T) {
	l := newLossy()
	for _, one := range []struct {
		counter, reason string
		grow            func()
	}{
		{"capture_lost_events", "no_storage", func() { l.capture.Lost["no_storage"]++ }},
		{"gaps", "truncated", func() { l.tracker.Gaps[event.Truncated].Broken++ }},
		{"evicted_connections", "", func() { l.tracker.Evicted++ }},
		{"lost_connections", "", func() { l.tracker.LostConnections++ }},
		{"held_overflow", "", func() { l.tracker.HeldOverflow++ }},
		{"unpaired_commands", "gap", func() { l.unpair(session.Gap, 1) }},
		{"unanswered_commands", "client_closed", func() {
			l.Record(&session.Exchange{Outcome: session.Unanswered, Reason: session.ClientClosed, Count: 1})
		}},
	} {
		before := l.episodes(t)
		one.grow()
		l.note(2 * LossPause)
		at := float64(l.now.Unix())
		assert.Equal(t, [3]float64{at, at, 1}, l.of(t, one.counter, one.reason), one.counter)
		assert.Equal(t, HarmlessLoss(one.counter, one.reason), l.episodes(t) == before, one.counter)
	}
	before := mustFlatten(t, l.Recorder, "redis_observer_last_loss")
	l.Record(&session.Exchange{Outcome: session.Unanswered, Reason: session.ServerClosed, Count: 1})
	l.note(time.Second)
	assert.Equal(t, before, mustFlatten(t, l.Recorder, "redis_observer_last_loss"), "counted as an error")
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
