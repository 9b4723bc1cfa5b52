package top

import (
	"cmp"
	"slices"

	"github.com/redis-observer/redis-observer/internal/report"
)

// Slow holds the slow commands of all observers. Its JSON form is part of the interface of the
// program.
type Slow struct {
	Sentences map[string]string    `json:"nodes"`    // what each has, or why it has none, by its name
	Commands  []report.SlowCommand `json:"commands"` // the slowest first
}

// sort orders the commands of all observers.
func (s *Slow) sort() {
	slices.SortStableFunc(s.Commands, func(a, b report.SlowCommand) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), a.Time.Compare(b.Time), cmp.Compare(a.Node, b.Node))
	})
}

// slowFields are the columns of slow commands, in their order.
var slowFields = []field[report.SlowCommand]{
	{title: "WHEN", text: func(c *report.SlowCommand) string { return report.Clock(c.Time) }},
	{title: "NODE", rank: 1, text: func(c *report.SlowCommand) string { return c.Node }},
	{title: "NAME", text: func(c *report.SlowCommand) string { return c.Name }},
	{title: "COMMAND", text: func(c *report.SlowCommand) string { return c.Command }},
	{title: "DURATION", right: true, text: func(c *report.SlowCommand) string { return report.Short(c.Duration()) }},
	{title: "OUTCOME", rank: 2, text: func(c *report.SlowCommand) string { return c.Result() }, bad: func(c *report.SlowCommand) bool { return c.Result() != "success" }},
	{title: "PIPELINE", right: true, rank: 3, text: func(c *report.SlowCommand) string { return c.Place() }},
	{title: "BYTES", right: true, rank: 6, text: func(c *report.SlowCommand) string { return c.Bytes() }},
	{title: "PEER", rank: 4, text: func(c *report.SlowCommand) string { return c.Peer }},
	{title: "OWN END", rank: 7, text: func(c *report.SlowCommand) string { return c.Local }},
	{title: "PROCESS", rank: 5, text: func(c *report.SlowCommand) string { return c.Process }},
}

// Slow returns the table of slow commands, below what each observer says of them.
func (s *Screen) Slow(all Slow) string {
	h := sheet[report.SlowCommand]{slowFields, all.Sentences, all.Commands}
	return h.draw(s)
}
