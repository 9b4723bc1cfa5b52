package kit_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

func TestReadCommandStats(t *testing.T) {
	counts, err := kit.ReadCommandStats("# Commandstats\r\n" +
		"cmdstat_config|get:calls=3,usec=20,usec_per_call=6.67,rejected_calls=1,failed_calls=2\r\n" +
		"cmdstat_restore-asking:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0\r\n" +
		"cmdstat_VADD:calls=2,usec=1,usec_per_call=0.50,rejected_calls=0,failed_calls=0\r\n" +
		"cmdstat_get:calls=7,usec=1,usec_per_call=0.14\r\n")
	require.NoError(t, err)
	// A failed call is among the calls, a rejected one is not.
	assert.Equal(t, map[string]kit.Count{"config_get": {4, 3}, "restore_asking": {1, 0}, "vadd": {2, 0}, "get": {7, 0}}, counts)

	_, err = kit.ReadCommandStats("cmdstat_get:calls=many\r\n")
	assert.ErrorContains(t, err, "get")
}

func TestSamples(t *testing.T) {
	s, err := kit.ReadSamples(strings.NewReader(`# TYPE redis_commands_total counter
redis_commands_total{name="a",command="get",status="success"} 3
redis_commands_total{name="a",command="get",status="error"} 1
redis_commands_total{name="b",command="set",status="success"} 5
# TYPE redis_command_duration_seconds histogram
redis_command_duration_seconds_bucket{le="1"} 4
redis_command_duration_seconds_bucket{le="+Inf"} 4
redis_command_duration_seconds_sum 0.5
redis_command_duration_seconds_count 4
# TYPE redis_observer_gaps_total counter
redis_observer_gaps_total{effect="skipped",reason="missing"} 7
redis_observer_gaps_total{effect="broken",reason="missing"} 2
# TYPE redis_observer_lost_connections_total counter
redis_observer_lost_connections_total 0
`))
	require.NoError(t, err)
	assert.InDelta(t, 3, s["redis_commands_total{command=get,name=a,status=success}"], 0)
	assert.InDelta(t, 4, s.Sum("redis_commands_total", "name=a"), 0)
	assert.Equal(t, map[string]float64{"get": 3, "set": 5}, s.By("command", "redis_commands_total", "status=success"))
	assert.InDelta(t, 4, s.Sum("redis_command_duration_seconds"), 0)
	assert.InDelta(t, 0.5, s.Sum("redis_command_duration_seconds_sum"), 0)
	assert.Equal(t, []string{"redis_observer_gaps_total{effect=broken,reason=missing}"}, s.Losses())
}
