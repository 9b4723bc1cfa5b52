package metrics

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// identitySeries caches the series of one identity. They are created on first use, which hashes the
// labels and allocates.
type identitySeries struct {
	recorder   *Recorder
	id         identity.ID
	values     []string                        // of the labels of the identity
	commands   []atomic.Pointer[commandSeries] // by command.ID
	silent     prometheus.Counter
	prefixes   reasonSeries
	unanswered reasonSeries
	unpaired   reasonSeries
	lives      atomic.Pointer[lifeSeries]
	connects   atomic.Pointer[connectSeries]
	handshakes atomic.Pointer[observer]
	waits      [2]atomic.Pointer[waitSeries] // by event.Role
}

// lazily returns series of an identity. The first call creates all of them at 0, so that rate()
// includes the first of each; concurrent ones create equal series.
func lazily[T any](series *atomic.Pointer[T], create func() *T) *T {
	if found := series.Load(); found != nil {
		return found
	}
	added := create()
	series.Store(added)
	return added
}

func newIdentitySeries(r *Recorder, id identity.ID, values []string) *identitySeries {
	reason := func(i uint8) string { return session.Reason(i).String() }
	s := &identitySeries{
		recorder:   r,
		id:         id,
		values:     values,
		commands:   make([]atomic.Pointer[commandSeries], r.options.Commands.Count()),
		silent:     r.families.silent.WithLabelValues(values...),
		prefixes:   reasonSeries{vec: r.families.prefixes, values: values, label: prefixLabel},
		unanswered: reasonSeries{vec: r.families.unanswered, values: values, label: reason},
		unpaired:   reasonSeries{vec: r.families.unpaired, values: values, label: reason},
	}
	s.initUnpaired()
	return s
}

// initUnpaired creates the series of all reasons at 0, so that rate() includes the first unpaired
// command.
func (s *identitySeries) initUnpaired() {
	for reason := session.MidStream; reason.String() != session.NoReason.String(); reason++ {
		s.unpaired.at(uint8(reason))
	}
}

// addCommand creates the series of a command of the table. Concurrent calls create equal series:
// the registry returns the same children.
func (s *identitySeries) addCommand(id command.ID) *commandSeries {
	series := newCommandSeries(s, s.recorder.options.Commands.Label(id, s.recorder.options.Style))
	s.commands[id].Store(series)
	return series
}

// and returns the values of the labels of the identity and that of a command, if there is one.
func (s *identitySeries) and(command string) []string {
	if command == "" {
		return s.values
	}
	return with(s.values, command)
}

// commandSeries are the series of one command of one identity.
type commandSeries struct {
	success      prometheus.Counter
	failure      prometheus.Counter
	errors       prometheus.Counter
	errorReplies reasonSeries
	duration     observer
	failed       *failedDurations // nil unless durations are kept by error
	sum          *sum
}

// newCommandSeries creates both statuses at 0, so that rate() includes the first error.
func newCommandSeries(s *identitySeries, label string) *commandSeries {
	f := s.recorder.families
	series := &commandSeries{
		success:      f.commands.WithLabelValues(with(s.values, label, "success")...),
		failure:      f.commands.WithLabelValues(with(s.values, label, "error")...),
		errors:       f.errors.WithLabelValues(with(s.values, label)...),
		errorReplies: reasonSeries{vec: f.errorReplies, values: with(s.values, label), label: prefixLabel},
		duration:     f.durations.of(s, label, ""),
		sum:          f.sums.of(s, label),
	}
	if s.recorder.options.DurationsByError {
		series.failed = &failedDurations{series: s, command: label}
	}
	return series
}

// with returns the labels of an identity, or their values, followed by further ones.
func with(labels []string, further ...string) []string {
	return slices.Concat(labels, further)
}

// observe records the duration of an Exchange.
func (s *commandSeries) observe(e *session.Exchange) {
	if s.failed != nil && e.Outcome != session.Success {
		s.failed.of(e).observe(e.Duration, e.Count)
		return
	}
	s.duration.observe(e.Duration, e.Count)
}

// failedDurations are the durations of the failures of one command of one identity, each apart.
type failedDurations struct {
	series  *identitySeries
	command string
	cached  sync.Map // of observers, by uint8, which takes no allocation
}

// ofReason is the bit of a key of failedDurations that tells reasons from error prefixes.
const ofReason = 1 << 7

func (f *failedDurations) of(e *session.Exchange) observer {
	key := uint8(e.Prefix)
	if e.Outcome == session.Unanswered {
		key = uint8(e.Reason) | ofReason
	}
	if found, ok := f.cached.Load(key); ok {
		return found.(observer)
	}
	failure := e.Prefix.String()
	if e.Outcome == session.Unanswered {
		failure = e.Reason.String()
	}
	added := f.series.recorder.families.durations.of(f.series, f.command, failure)
	f.cached.Store(key, added)
	return added
}

func (s *commandSeries) fail(n float64) {
	s.failure.Add(n)
	s.errors.Add(n)
}

// maxCached limits the reasons or prefixes that are cached per identity or command. It exceeds the
// size of all closed tables here.
const maxCached = 48

// reasonSeries caches the series of one family by the last label, a reason or an error prefix.
type reasonSeries struct {
	vec    *prometheus.CounterVec
	values []string // of the labels before the last
	label  func(uint8) string
	cached atomic.Pointer[cachedSeries] // nil before the first, which most commands never have
}

type cachedSeries [maxCached]atomic.Pointer[prometheus.Counter]

func (s *reasonSeries) at(i uint8) prometheus.Counter {
	if i >= maxCached {
		return s.vec.WithLabelValues(with(s.values, s.label(i))...)
	}
	cached := s.cached.Load()
	if cached == nil {
		s.cached.CompareAndSwap(nil, new(cachedSeries))
		cached = s.cached.Load()
	}
	if counter := cached[i].Load(); counter != nil {
		return *counter
	}
	counter := s.vec.WithLabelValues(with(s.values, s.label(i))...)
	cached[i].Store(&counter)
	return counter
}

// prefixLabel returns the label value of a command.Prefix.
func prefixLabel(i uint8) string { return command.Prefix(i).String() }
