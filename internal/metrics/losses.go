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

// LossPause is for how long nothing must have been lost until an episode of losses has ended. Package
// report has the same pause.
const LossPause = time.Minute

var (
	lossEpisodesDesc  = desc("loss_episodes_total", "Episodes in which something was lost, but what is harmless. An episode ends by a minute without a loss.")
	lastLossDesc      = desc("last_loss_timestamp_seconds", "When a counter of losses grew first in the last episode in which it did (edge=begin), and last (edge=end). Absent for a counter at 0.", "counter", "reason", "edge")
	lastLossCountDesc = desc("last_loss_count", "By how much a counter of losses grew in the last episode in which it did. Absent for a counter at 0.", "counter", "reason")
	lastLossRatioDesc = desc("last_loss_ratio", "Share of the events that were lost between these times. Absent for a counter at 0.", "reason")
)

// losses notes when counters of losses grow.
type losses struct {
	unpaired [maxCached]atomic.Uint64 // of all identities, by session.Reason
	givenUp  atomic.Uint64            // unanswered, because the client closed

	mu       sync.Mutex
	noted    map[lossCounter]*lossNote
	read     uint64 // events, until the last note
	episodes episode
	harmless episode // of what is harmless, which is no part of the others
}

// episode is the last time in which something was lost without a pause.
type episode struct {
	number uint64 // from 1
	end    time.Time
}

// lossCounter is a counter of losses: its family without redis_observer_ and _total, and its reason.
type lossCounter struct{ family, reason string }

// HarmlessLoss reports whether no command is missing because of a loss alone, after the first idle
// moment of a connection. Package report says so to people.
func HarmlessLoss(family, reason string) bool {
	return family == "lost_connections" || family == "unpaired_commands" && reason == session.MidStream.String()
}

// lossNote is what is noted of a counter: of the last episode in which it grew.
type lossNote struct {
	episode      uint64
	begin, end   time.Time
	before, now  uint64 // its value
	readBefore   uint64 // events that were read before the note at which it began
	readMeantime uint64
}

// NoteLosses notes which counters of losses have grown, if Watch was called with a clock. Scrapes do
// so too. Concurrent calls are safe.
func (r *Recorder) NoteLosses() {
	w := r.watched.Load()
	if w == nil || w.Now == nil {
		return
	}
	tracker := w.Tracker()
	r.losses.note(w.Now(), w.Capture(), &tracker)
}

// note notes which counters have grown until a time.
func (l *losses) note(now time.Time, capture event.Stats, tracker *correlate.Stats) {
	now = now.Truncate(time.Millisecond) // as it is exported, so that others see the same pauses
	l.mu.Lock()
	defer l.mu.Unlock()
	read := max(capture.Events, l.read)
	for reason, n := range capture.Lost {
		l.grown(now, "capture_lost_events", reason, n, read)
	}
	for reason, gaps := range tracker.Gaps {
		l.grown(now, "gaps", gapReasonName(event.Reason(reason)), gaps.Broken, read)
	}
	l.grown(now, "evicted_connections", "", tracker.Evicted, read)
	l.grown(now, "lost_connections", "", tracker.LostConnections, read)
	l.grown(now, "held_overflow", "", tracker.HeldOverflow, read)
	for reason := range l.unpaired {
		l.grown(now, "unpaired_commands", session.Reason(reason).String(), l.unpaired[reason].Load(), read)
	}
	l.grown(now, "unanswered_commands", session.ClientClosed.String(), l.givenUp.Load(), read)
	l.read = read
}

// grown notes that a counter has a value at a time, until which so many events were read. The caller
// must hold mu.
func (l *losses) grown(now time.Time, family, reason string, count, read uint64) {
	if count == 0 {
		return // of nearly all
	}
	of := lossCounter{family, reason}
	n := l.noted[of]
	if n == nil {
		n = new(lossNote)
		l.noted[of] = n
	}
	if count <= n.now { // less: it was read before another note
		return
	}
	in := &l.episodes
	if HarmlessLoss(family, reason) {
		in = &l.harmless
	}
	if in.number == 0 || now.Sub(in.end) > LossPause {
		in.number++
	}
	in.end = now
	if n.episode != in.number {
		n.episode, n.begin, n.before, n.readBefore = in.number, now, n.now, l.read
	}
	n.now, n.end, n.readMeantime = count, now, read-n.readBefore
}

func (l *losses) collect(out chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counter(out, lossEpisodesDesc, l.episodes.number)
	for of, n := range l.noted {
		for edge, at := range map[string]time.Time{"begin": n.begin, "end": n.end} {
			gauge(out, lastLossDesc, float64(at.UnixMilli())/1000, of.family, of.reason, edge)
		}
		count := float64(n.now - n.before)
		gauge(out, lastLossCountDesc, count, of.family, of.reason)
		if of.family == "capture_lost_events" {
			gauge(out, lastLossRatioDesc, count/(count+float64(n.readMeantime)), of.reason)
		}
	}
}
