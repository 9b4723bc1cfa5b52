// Package metrics counts commands, and serves what it counted together with what the observer says about itself.
//
//	kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics
//
// A Recorder owns a registry of its own. The four families of Redis are those of an in-process client wrapper (redis_commands_total,
// redis_command_duration_seconds, redis_command_errors_total, redis_pool_connections); all others begin with redis_observer_, but for
// those that the Go runtime and the process have by convention.
//
// Record is the hot path: it keeps nothing of the Exchange, allocates nothing once an identity and a command have been seen, and may be
// called from any goroutine. What the other stages count themselves is read at scrape time, through Sources.
//
// An identity stands for the first labels of its series: today the logical name alone. The number of series is bounded: names come from
// the configuration, commands, error prefixes and reasons from closed tables, and a command has series only after it was first seen. Both
// outcomes of a command, and every kind of loss of an identity, begin at 0, so that rate() sees the first error and the first loss.
// Series stay until End removes those of an identity.
//
// There are no errors to return: a family that cannot be registered is a fault of this package, and panics in New.
package metrics
