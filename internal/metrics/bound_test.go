package metrics

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// If every name uses every command, the number of series equals the bound.
func TestBound(t *testing.T) {
	options := testOptions()
	r := newPedantic(options)
	for name := range testNames {
		for id := range options.Commands.Count() {
			for prefix := range command.PrefixCount {
				r.Record(&session.Exchange{Identity: identity.ID(name), Command: command.ID(id), Count: 1, Outcome: session.Error, Prefix: command.Prefix(prefix), Nils: 1, NilElements: 1})
			}
		}
	}
	for name := range testNames {
		r.Live(correlate.Life{Identity: identity.ID(name), Step: correlate.Opened, Took: 1})
		r.Live(correlate.Life{Identity: identity.ID(name), Step: correlate.Secured, Took: 1})
	}
	for name := range testNames {
		for role := event.Client; role <= event.Server; role++ {
			r.Waited(correlate.Wait{Identity: identity.ID(name), Role: role, Time: 1, Count: 1})
		}
	}
	r.Watch(Sources{Pools: func() []correlate.Pool { return []correlate.Pool{{Identity: 0, InUse: 1}, {Identity: 1, InUse: 1}} }})
	families, err := r.Gather()
	require.NoError(t, err)
	series := 0
	for _, family := range families {
		switch family.GetName() {
		case "redis_commands_total", "redis_command_errors_total", "redis_command_error_replies_total", "redis_pool_connections",
			"redis_command_request_bytes_total", "redis_command_response_bytes_total", "redis_command_nil_replies_total", "redis_command_nil_elements_total",
			"redis_observer_unassigned_bytes_total", "redis_connections_opened_total", "redis_connections_closed_total", "redis_connect_failures_total", "redis_observer_unknown_phases_total":
			series += len(family.GetMetric())
		case "redis_command_duration_seconds", "redis_connect_duration_seconds", "redis_tls_handshake_duration_seconds", "redis_command_client_wait_seconds", "redis_command_server_queue_seconds":
			for _, metric := range family.GetMetric() {
				series += len(metric.GetHistogram().GetBucket()) + 3
			}
		}
	}
	bound := NewBound(len(testNames), options.Commands.Labels(options.Style), len(options.Buckets), true)
	assert.Equal(t, series, bound.Total)
	assert.Equal(t, 12+command.PrefixCount, bound.PerPair)
	assert.Greater(t, bound.Commands, 400)
	assert.Contains(t, bound.String(), "at most")
	assert.Less(t, NewBound(len(testNames), options.Commands.Labels(options.Style), len(options.Buckets), false).Total, bound.Total)
}
