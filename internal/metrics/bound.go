package metrics

import (
	"fmt"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate"
)

// Bound is the maximum number of series of the Redis families. Only observed pairs of identity
// and command are exported.
type Bound struct {
	Names    int `json:"names"`    // identities
	Commands int `json:"commands"` // values of the label command
	PerPair  int `json:"per_pair"` // series of one identity with one command
	Total    int `json:"total"`
}

// NewBound returns the bound for numbers of names, command labels and classic buckets, with phases or
// without.
func NewBound(names, commands, buckets int, phases bool) Bound {
	const (
		counters  = 3                   // redis_commands_total by two statuses, redis_command_errors_total
		prefixes  = command.PrefixCount // redis_command_error_replies_total
		histogram = 3                   // the +Inf bucket, sum and count
		bytes     = 2                   // redis_command_request_bytes_total, redis_command_response_bytes_total
		nils      = 2                   // redis_command_nil_replies_total, redis_command_nil_elements_total
		lives     = 4                   // redis_connections_opened_total, redis_connections_closed_total by three ends
		spare     = 2                   // redis_observer_unassigned_bytes_total by two directions
		pool      = 2                   // redis_pool_connections by two states
	)
	b := Bound{Names: names, Commands: commands, PerPair: counters + prefixes + bytes + nils + histogram + buckets}
	connects := len(connectFailures) + histogram + buckets // redis_connect_failures_total, redis_connect_duration_seconds
	handshakes := histogram + buckets                      // redis_tls_handshake_duration_seconds
	b.Total = b.Names * (b.Commands*b.PerPair + pool + spare + lives + connects + handshakes)
	if phases { // redis_command_client_wait_seconds, redis_command_server_queue_seconds, redis_observer_unknown_phases_total
		b.Total += b.Names * (2*(histogram+buckets) + int(correlate.UnknownWaits) - 1)
	}
	return b
}

// String returns the total and its factors.
func (b Bound) String() string {
	return fmt.Sprintf("at most %d (%d names × %d commands × %d)", b.Total, b.Names, b.Commands, b.PerPair)
}
