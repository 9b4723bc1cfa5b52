package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
)

// closers are the values of the label by.
var closers = [...]string{
	correlate.ByClient:  "client",
	correlate.ByServer:  "server",
	correlate.ByNetwork: "network",
}

// connectFailures are the values of the label reason of failed connects.
var connectFailures = [event.Failures]string{
	event.OtherFailure: "other",
	event.Refused:      "refused",
	event.TimedOut:     "timed_out",
	event.Unreachable:  "unreachable",
	event.ConnectReset: "reset",
	event.GivenUp:      "gave_up",
	event.NoPort:       "no_port",
}

// lifeSeries are the series of the connections of one identity.
type lifeSeries struct {
	opened prometheus.Counter
	closed [len(closers)]prometheus.Counter
}

// connectSeries are the series of the attempts to connect of one identity. Ends that accept have
// none.
type connectSeries struct {
	failed   [event.Failures]prometheus.Counter
	duration observer
}

// Live counts a step in the life of a connection. Concurrent calls are safe.
func (r *Recorder) Live(l correlate.Life) {
	who := r.of(l.Identity)
	switch l.Step {
	case correlate.Opened:
		who.life().opened.Inc()
		if l.Took > 0 {
			who.connect().duration.observe(l.Took, 1)
		}
	case correlate.Closed:
		who.life().closed[l.By].Inc()
	case correlate.Secured:
		who.handshake().observe(l.Took, 1)
	case correlate.Failed:
		who.connect().failed[l.Failure].Inc()
	}
}

// life returns the series of connections.
func (s *identitySeries) life() *lifeSeries {
	return lazily(&s.lives, func() *lifeSeries {
		f := s.recorder.families
		added := &lifeSeries{opened: f.opened.WithLabelValues(s.values...)}
		for by := correlate.ByClient; int(by) < len(closers); by++ {
			added.closed[by] = f.closed.WithLabelValues(with(s.values, closers[by])...)
		}
		return added
	})
}

// handshake returns the series of TLS handshakes, which connections without TLS do not have.
func (s *identitySeries) handshake() observer {
	return *lazily(&s.handshakes, func() *observer {
		added := s.recorder.families.handshakes.of(s, "", "")
		return &added
	})
}

// connect returns the series of attempts to connect.
func (s *identitySeries) connect() *connectSeries {
	return lazily(&s.connects, func() *connectSeries {
		f := s.recorder.families
		added := &connectSeries{duration: f.connects.of(s, "", "")}
		for failure, reason := range connectFailures {
			added.failed[failure] = f.failed.WithLabelValues(with(s.values, reason)...)
		}
		return added
	})
}
