package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
)

// unknownWaits are the values of the label reason of waits that are not known.
var unknownWaits = [correlate.UnknownWaits]string{
	correlate.NoArrival:   "arrival",
	correlate.WaitsOfTLS:  "tls",
	correlate.WaitsOfUnix: "unix",
}

// waitSeries are the series of one identity of how long bytes lay in the sockets of one end.
type waitSeries struct {
	time    observer
	unknown [len(unknownWaits)]prometheus.Counter
}

// Waited counts how long requests or replies lay in a socket. Concurrent calls are safe.
func (r *Recorder) Waited(w correlate.Wait) {
	who := r.of(w.Identity)
	series := who.waitsOf(w.Role)
	if w.Unknown != correlate.KnownWait {
		series.unknown[w.Unknown].Add(float64(w.Count))
		return
	}
	series.time.observe(w.Time, w.Count)
}

// waitsOf returns the series of waits at an end.
func (s *identitySeries) waitsOf(role event.Role) *waitSeries {
	return lazily(&s.waits[role], func() *waitSeries {
		f := s.recorder.families
		added := &waitSeries{time: f.waits[role].of(s, "", "")}
		for i := correlate.NoArrival; i < correlate.UnknownWaits; i++ {
			added.unknown[i] = f.unknownWaits.WithLabelValues(with(s.values, unknownWaits[i])...)
		}
		return added
	})
}
