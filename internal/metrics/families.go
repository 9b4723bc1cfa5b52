package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// families are the metric families that Record updates.
type families struct {
	commands   *prometheus.CounterVec
	durations  durations
	errors     *prometheus.CounterVec
	prefixes   *prometheus.CounterVec
	unanswered *prometheus.CounterVec
	silent     *prometheus.CounterVec
	unpaired   *prometheus.CounterVec
}

func newFamilies(options Options) families {
	labels := options.Identities.Labels()
	counters := func(name, help string, further ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, with(labels, further...))
	}
	return families{
		commands:   counters("redis_commands_total", "Completed commands, by status. Commands that the client abandoned by closing its connection count as success.", "command", "status"),
		durations:  newDurations(options),
		errors:     counters("redis_command_errors_total", "Failed commands: an error reply, or a connection that the server or the network closed before the reply.", "command"),
		prefixes:   counters("redis_observer_error_replies_total", "Error replies, by error prefix.", "prefix"),
		unanswered: counters("redis_observer_unanswered_commands_total", "Commands without a reply when their connection ended, by who ended it. They count as errors, except client_closed, which counts as success without a duration.", "reason"),
		silent:     counters("redis_observer_silent_commands_total", "Commands without a reply by design, such as after CLIENT REPLY OFF. They count as success without a duration."),
		unpaired:   counters("redis_observer_unpaired_commands_total", "Commands or replies that could not be paired, by reason. They are not counted as commands.", "reason"),
	}
}

func newDurations(options Options) durations {
	const name = "redis_command_duration_seconds"
	const help = "Command duration as seen by the application, from the start of its write to the end of its read."
	labels := with(options.Identities.Labels(), "command")
	if !options.NativeHistograms {
		return newClassic(name, help, labels, options.Buckets)
	}
	return native{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:                            name,
		Help:                            help,
		Buckets:                         options.Buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160, // limits the memory of a series; beyond it the resolution is halved
		NativeHistogramMinResetDuration: time.Hour,
	}, labels)}
}

func (f *families) all() []prometheus.Collector {
	return []prometheus.Collector{f.commands, f.durations, f.errors, f.prefixes, f.unanswered, f.silent, f.unpaired}
}

// end removes the series of an identity from all families.
func (f *families) end(s *identitySeries) {
	of := prometheus.Labels{}
	for i, label := range s.recorder.options.Identities.Labels() {
		of[label] = s.values[i]
	}
	for _, vec := range []*prometheus.CounterVec{f.commands, f.errors, f.prefixes, f.unanswered, f.silent, f.unpaired} {
		vec.DeletePartialMatch(of)
	}
	f.durations.end(s, of)
}
