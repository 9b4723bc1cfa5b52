package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate"
)

// nameSeries are the series of one logical name. They are resolved when first needed, because that costs a hash of the labels and allocations.
type nameSeries struct {
	recorder   *Recorder
	name       string
	commands   []atomic.Pointer[commandSeries] // by command.ID
	silent     prometheus.Counter
	prefixes   reasonSeries
	unanswered reasonSeries
	unpaired   reasonSeries
}

func newNameSeries(r *Recorder, name string) *nameSeries {
	reason := func(i uint8) string { return correlate.Reason(i).String() }
	prefix := func(i uint8) string { return command.Prefix(i).String() }
	s := &nameSeries{
		recorder:   r,
		name:       name,
		commands:   make([]atomic.Pointer[commandSeries], r.options.Commands.Count()),
		silent:     r.families.silent.WithLabelValues(name),
		prefixes:   reasonSeries{vec: r.families.prefixes, name: name, label: prefix},
		unanswered: reasonSeries{vec: r.families.unanswered, name: name, label: reason},
		unpaired:   reasonSeries{vec: r.families.unpaired, name: name, label: reason},
	}
	s.beginLoss()
	return s
}

// beginLoss makes the series of loss, each from 0, so that rate() sees the first loss of a kind.
func (s *nameSeries) beginLoss() {
	for reason := correlate.MidStream; reason.String() != correlate.NoReason.String(); reason++ {
		s.unpaired.at(uint8(reason))
	}
}

// command returns the series of a command. The table gave the ID, so it is within bounds.
func (s *nameSeries) command(id command.ID) *commandSeries {
	if series := s.commands[id].Load(); series != nil {
		return series
	}
	// Two goroutines may both come here: the registry hands both the same children.
	series := newCommandSeries(&s.recorder.families, s.name, s.recorder.options.Commands.Label(id, s.recorder.options.Style))
	s.commands[id].Store(series)
	return series
}

// commandSeries are the series of one command of one name.
type commandSeries struct {
	success  prometheus.Counter
	failure  prometheus.Counter
	errors   prometheus.Counter
	duration observer
}

// newCommandSeries makes both outcomes at once, each from 0, so that rate() sees the first of either.
func newCommandSeries(f *families, name, label string) *commandSeries {
	return &commandSeries{
		success:  f.commands.WithLabelValues(name, label, "success"),
		failure:  f.commands.WithLabelValues(name, label, "error"),
		errors:   f.errors.WithLabelValues(name, label),
		duration: f.durations.of(name, label),
	}
}

func (s *commandSeries) fail(n float64) {
	s.failure.Add(n)
	s.errors.Add(n)
}

// maxCached is how many reasons or prefixes of a name are cached; more than any closed table here has. Others are found the slow way.
const maxCached = 48

// reasonSeries are the series of one family and one name, by a small integer: a reason or an error prefix.
type reasonSeries struct {
	vec    *prometheus.CounterVec
	name   string
	label  func(uint8) string
	cached [maxCached]atomic.Pointer[prometheus.Counter]
}

func (s *reasonSeries) at(i uint8) prometheus.Counter {
	if i >= maxCached {
		return s.vec.WithLabelValues(s.name, s.label(i))
	}
	if counter := s.cached[i].Load(); counter != nil {
		return *counter
	}
	counter := s.vec.WithLabelValues(s.name, s.label(i))
	s.cached[i].Store(&counter)
	return counter
}
