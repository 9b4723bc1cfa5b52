package metrics

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// phases returns the series of phases that are not 0.
func phases(t *testing.T, r *Recorder) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, prefix := range []string{"redis_command_client_wait", "redis_command_server_queue", "redis_observer_unknown_phases"} {
		maps.Copy(all, mustFlatten(t, r, prefix))
	}
	maps.DeleteFunc(all, func(_ string, n float64) bool { return n == 0 })
	return all
}

func TestWaited(t *testing.T) {
	for _, native := range []bool{false, true} {
		options := testOptions()
		options.NativeHistograms = native
		r := newPedantic(options)
		wait := func(id identity.ID, role event.Role, took time.Duration, n uint32) {
			r.Waited(correlate.Wait{Identity: id, Role: role, Time: int64(took), Count: n})
		}
		wait(0, event.Client, time.Second/4, 1)
		wait(0, event.Client, time.Second/8, 2)
		wait(1, event.Server, time.Second, 3)
		for unknown := correlate.NoArrival; unknown < correlate.UnknownWaits; unknown++ {
			r.Waited(correlate.Wait{Identity: 1, Role: event.Server, Unknown: unknown, Time: -1, Count: uint32(unknown)})
		}
		assert.Equal(t, map[string]float64{
			"redis_command_client_wait_seconds_count{name=cache}":            3,
			"redis_command_client_wait_seconds_sum{name=cache}":              0.5,
			"redis_command_server_queue_seconds_count{name=queue}":           3,
			"redis_command_server_queue_seconds_sum{name=queue}":             3,
			"redis_observer_unknown_phases_total{name=queue,reason=arrival}": 1,
			"redis_observer_unknown_phases_total{name=queue,reason=tls}":     2,
			"redis_observer_unknown_phases_total{name=queue,reason=unix}":    3,
		}, phases(t, r))
		assert.Len(t, mustFlatten(t, r, "redis_observer_unknown_phases"), 6, "those of the other name are at 0")
		r.End(0)
		r.End(1)
		assert.Empty(t, phases(t, r))
	}
}
