package metrics

import "fmt"

// Bound is the most series that a configuration can produce in the four Redis families. Only what was seen on the wire is exported.
type Bound struct {
	Names    int `json:"names"`    // identities
	Commands int `json:"commands"` // values of the label command
	PerPair  int `json:"per_pair"` // series of one identity with one command
	Total    int `json:"total"`
}

// NewBound counts the series of so many names with so many commands and classic buckets.
func NewBound(names, commands, buckets int) Bound {
	const (
		counters  = 3 // redis_commands_total by two statuses, redis_command_errors_total
		histogram = 3 // the bucket without bound, sum and count
		pool      = 2 // redis_pool_connections by two states
	)
	b := Bound{Names: names, Commands: commands, PerPair: counters + histogram + buckets}
	b.Total = b.Names * (b.Commands*b.PerPair + pool)
	return b
}

// String returns the product with its factors.
func (b Bound) String() string {
	return fmt.Sprintf("at most %d (%d names × %d commands × %d)", b.Total, b.Names, b.Commands, b.PerPair)
}
