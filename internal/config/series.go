package config

import (
	"fmt"

	"github.com/redis-observer/redis-observer/internal/command"
)

// Series is the most that a configuration can produce in the four Redis families. Only what was seen on the wire is exported.
type Series struct {
	Names    int `json:"names"`    // logical names
	Commands int `json:"commands"` // values of the label command
	PerPair  int `json:"per_pair"` // series of one name with one command
	Total    int `json:"total"`
}

// Series counts what the configuration can produce with the commands of a table.
func (c *Config) Series(table *command.Table) Series {
	labels := map[string]bool{}
	for id := range table.Count() {
		labels[table.Label(command.ID(id), c.Metrics.Style())] = true
	}
	const (
		counters  = 3 // redis_commands_total by two statuses, redis_command_errors_total
		histogram = 3 // the bucket without bound, sum and count
		pool      = 2 // redis_pool_connections by two states
	)
	s := Series{
		Names:    len(c.LogicalNames()),
		Commands: len(labels),
		PerPair:  counters + histogram + len(c.Metrics.Buckets),
	}
	s.Total = s.Names * (s.Commands*s.PerPair + pool)
	return s
}

// String returns the sum as it was made.
func (s Series) String() string {
	return fmt.Sprintf("at most %d (%d names × %d commands × %d)", s.Total, s.Names, s.Commands, s.PerPair)
}

// Style returns the names that commands have in metrics.
func (m *Metrics) Style() command.Style {
	if m.CommandNames == RedisPyNames {
		return command.RedisPy
	}
	return command.Wire
}
