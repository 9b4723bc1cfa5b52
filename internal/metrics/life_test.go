package metrics

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
)

// lives returns the series of connections that are not 0, and how many are.
func lives(t *testing.T, r *Recorder) (others map[string]float64, zeros int) {
	series := mustFlatten(t, r, "redis_connect")
	all := len(series)
	maps.DeleteFunc(series, func(_ string, n float64) bool { return n == 0 })
	return series, all - len(series)
}

func TestLive(t *testing.T) {
	for _, native := range []bool{false, true} {
		options := testOptions()
		options.NativeHistograms = native
		r := newPedantic(options)
		r.Live(correlate.Life{Step: correlate.Opened})
		series, zeros := lives(t, r)
		assert.Equal(t, map[string]float64{"redis_connections_opened_total{name=cache}": 1}, series)
		assert.Equal(t, 3, zeros, "an end that accepts has no series of connects, and all three of by")

		r.Live(correlate.Life{Step: correlate.Opened, Took: int64(time.Second / 4)})
		for _, by := range []correlate.Closer{correlate.ByClient, correlate.ByServer, correlate.ByServer, correlate.ByNetwork, correlate.ByNetwork, correlate.ByNetwork} {
			r.Live(correlate.Life{Step: correlate.Closed, By: by})
		}
		for failure := range event.Failures {
			for range failure + 1 {
				r.Live(correlate.Life{Identity: 1, Step: correlate.Failed, Failure: failure})
			}
		}
		series, zeros = lives(t, r)
		assert.Equal(t, map[string]float64{
			"redis_connections_opened_total{name=cache}":                  2,
			"redis_connections_closed_total{by=client,name=cache}":        1,
			"redis_connections_closed_total{by=server,name=cache}":        2,
			"redis_connections_closed_total{by=network,name=cache}":       3,
			"redis_connect_duration_seconds_count{name=cache}":            1,
			"redis_connect_duration_seconds_sum{name=cache}":              0.25,
			"redis_connect_failures_total{name=queue,reason=other}":       1,
			"redis_connect_failures_total{name=queue,reason=refused}":     2,
			"redis_connect_failures_total{name=queue,reason=timed_out}":   3,
			"redis_connect_failures_total{name=queue,reason=unreachable}": 4,
			"redis_connect_failures_total{name=queue,reason=reset}":       5,
			"redis_connect_failures_total{name=queue,reason=gave_up}":     6,
			"redis_connect_failures_total{name=queue,reason=no_port}":     7,
		}, series)
		assert.Equal(t, 7+2, zeros, "the other reasons, and the durations of failures only")
		assert.True(t, r.Recorded(0))

		r.End(0)
		r.End(1)
		series, zeros = lives(t, r)
		assert.Empty(t, series)
		assert.Zero(t, zeros)
	}
}
