// Package metrics counts commands and serves all metrics of the observer.
//
//	kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics
//
// A Recorder owns a registry. The four Redis families are those of an in-process client wrapper
// (redis_commands_total, redis_command_duration_seconds, redis_command_errors_total,
// redis_pool_connections). All others begin with redis_observer_, except the conventional families
// of the Go runtime and the process.
//
// Record is the hot path. It keeps no reference to the Exchange, does not allocate after the first
// Exchange of an identity and a command, and may be called from any goroutine. Sources are read at
// scrape time.
//
// The labels of an identity come first in its series. The number of series is bounded: identities
// come from the configuration; commands, error prefixes and reasons from closed tables; and a
// command has series only after its first Exchange. Both statuses of a command, and all reasons for
// unpaired commands of an identity, start at 0, so that rate() includes the first one. Series live
// until End removes those of an identity.
//
// New panics if a family cannot be registered, which is a bug of this package. There are no errors.
package metrics
