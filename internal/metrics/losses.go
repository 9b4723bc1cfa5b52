package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// lossPause is the time without growth after which the next growth of a counter begins anew.
const lossPause = 10 * time.Minute

var lastLossDesc = desc("last_loss_timestamp_seconds", "When a counter of losses grew last (edge=end), and when that began after ten minutes without (edge=begin). Absent for a counter at 0.", "counter", "reason", "edge")

// losses notes when counters of losses grow.
type losses struct {
	unpaired [maxCached]atomic.Uint64 // of all identities, by session.Reason
	givenUp  atomic.Uint64            // unanswered, because the client closed

	mu    sync.Mutex
	noted map[lossCounter]*lossTimes
}

// lossCounter is a counter of losses: its family without redis_observer_ and _total, and its reason.
type lossCounter struct{ family, reason string }

type lossTimes struct {
	count      uint64
	begin, end time.Time
}

// NoteLosses notes which counters of losses have grown, if Watch was called with a clock. Scrapes do
// so too. Concurrent calls are safe.
func (r *Recorder) NoteLosses() {
	w := r.watched.Load()
	if w == nil || w.Now == nil {
		return
	}
	tracker := w.Tracker()
	r.losses.note(w.Now(), w.Capture().Lost, &tracker)
}

// note notes which counters have grown until a time.
func (l *losses) note(now time.Time, lost map[string]uint64, tracker *correlate.Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for reason, n := range lost {
		l.grown(now, "capture_lost_events", reason, n)
	}
	for reason, gaps := range tracker.Gaps {
		l.grown(now, "gaps", gapReasonName(event.Reason(reason)), gaps.Broken)
	}
	l.grown(now, "evicted_connections", "", tracker.Evicted)
	l.grown(now, "lost_connections", "", tracker.LostConnections)
	l.grown(now, "held_overflow", "", tracker.HeldOverflow)
	for reason := range l.unpaired {
		l.grown(now, "unpaired_commands", session.Reason(reason).String(), l.unpaired[reason].Load())
	}
	l.grown(now, "unanswered_commands", session.ClientClosed.String(), l.givenUp.Load())
}

// grown notes that a counter has a value at a time. The caller must hold mu.
func (l *losses) grown(now time.Time, family, reason string, count uint64) {
	if count == 0 {
		return // of nearly all
	}
	of := lossCounter{family, reason}
	t := l.noted[of]
	switch {
	case t == nil:
		t = &lossTimes{begin: now}
		l.noted[of] = t
	case t.count == count:
		return
	case now.Sub(t.end) > lossPause:
		t.begin = now
	}
	t.count, t.end = count, now
}

func (l *losses) collect(out chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for of, t := range l.noted {
		for edge, at := range map[string]time.Time{"begin": t.begin, "end": t.end} {
			gauge(out, lastLossDesc, float64(at.Unix()), of.family, of.reason, edge)
		}
	}
}
