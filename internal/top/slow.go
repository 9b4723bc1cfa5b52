package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/redis-observer/redis-observer/internal/report"
)

// Slow holds the slow commands of all observers. Its JSON form is part of the interface of the
// program.
type Slow struct {
	Sentences map[string]string    `json:"nodes"`    // what each has, or why it has none, by its name
	Groups    []report.SlowGroup   `json:"groups"`   // the likely cause of each first
	Commands  []report.SlowCommand `json:"commands"` // the slowest first
}

// add adds the slow commands of an observer.
func (s *Slow) add(node string, v report.Slow) {
	s.Sentences[node] = v.Sentence()
	for _, group := range v.Groups {
		group.Node = node
		s.Groups = append(s.Groups, group)
	}
	for _, command := range v.Commands {
		command.Node = node
		s.Commands = append(s.Commands, command)
	}
}

// sort orders the commands of all observers.
func (s *Slow) sort() {
	report.SortGroups(s.Groups)
	slices.SortStableFunc(s.Commands, func(a, b report.SlowCommand) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), a.Time.Compare(b.Time), cmp.Compare(a.Node, b.Node))
	})
}

// groupFields are the columns of sums of slow commands, in their order.
var groupFields = []field[report.SlowGroup]{
	{title: "NODE", rank: 4, text: func(g *report.SlowGroup) string { return g.Node }},
	{title: "NAME", text: func(g *report.SlowGroup) string { return g.Name }},
	{title: "COMMAND", text: func(g *report.SlowGroup) string { return g.Command }},
	{title: whose, rank: 1, text: func(g *report.SlowGroup) string { return g.Who() }},
	{title: "SLOW", right: true, text: func(g *report.SlowGroup) string { return fmt.Sprint(g.Count) }},
	{title: "SINCE", right: true, text: func(g *report.SlowGroup) string { return g.Since() }},
	{title: "LAST", right: true, rank: 7, text: func(g *report.SlowGroup) string { return report.Clock(g.Last) }},
	{title: "LONGEST", right: true, rank: 6, text: func(g *report.SlowGroup) string { return report.Short(g.Most()) }},
	{title: "MEAN", right: true, rank: 5, text: func(g *report.SlowGroup) string { return report.Short(g.Typical()) }},
	{title: "SHARE", right: true, rank: 2, text: func(g *report.SlowGroup) string { return g.Percent() }},
	{title: "BEHIND", rank: 3, text: func(g *report.SlowGroup) string { return g.Behind }},
}

// slowFields are the columns of slow commands, in their order.
var slowFields = []field[report.SlowCommand]{
	{title: "WHEN", text: func(c *report.SlowCommand) string { return report.Clock(c.Time) }},
	{title: "NODE", rank: 2, text: func(c *report.SlowCommand) string { return c.Node }},
	{title: "NAME", text: func(c *report.SlowCommand) string { return c.Name }},
	{title: "COMMAND", text: func(c *report.SlowCommand) string { return c.Command }},
	{title: whose, rank: 1, text: func(c *report.SlowCommand) string { return c.Who() }},
	{title: "DURATION", right: true, text: func(c *report.SlowCommand) string { return report.Short(c.Duration()) }},
	{title: "OUTCOME", rank: 3, text: func(c *report.SlowCommand) string { return c.Result() }, bad: func(c *report.SlowCommand) bool { return c.Result() != "success" }},
	{title: "PIPELINE", right: true, rank: 4, text: func(c *report.SlowCommand) string { return c.Place() }},
	{title: "BYTES", right: true, rank: 6, text: func(c *report.SlowCommand) string { return c.Bytes() }},
	{title: "PEER", rank: 5, text: func(c *report.SlowCommand) string { return c.Peer }},
	{title: "OWN END", rank: 7, text: func(c *report.SlowCommand) string { return c.Local }},
}

// remedy says what the sums mean, and what to do about slow commands.
const remedy = "SHARE: of the time in which servers had slow commands. BEHIND: those waited most of their time behind this command at " +
	"their server, so it is the cause and they are not. Send the cause less often, or with less to do each time."

// Slow returns the tables of slow commands, below what each observer says of them: their sums, which
// take up to half of the room, and the single ones, for which a low terminal has none.
func (s *Screen) Slow(all Slow) string {
	sums := sheet[report.SlowGroup]{groupFields, len(all.Sentences) > 1, all.Groups}
	single := sheet[report.SlowCommand]{slowFields, len(all.Sentences) > 1, all.Commands}
	lines := s.sentences(all.Sentences, 4)
	if len(all.Groups) > 0 {
		room := s.left(lines)
		if room > 0 && room < 8 {
			return strings.Join(append(lines, sums.draw(s, s.Offset, room)...), "\n")
		}
		lines = append(lines, sums.draw(s, 0, room/2)...)
		lines = append(append(lines, strings.Split(faint.Styled(s.few(remedy, maxTold)), "\n")...), "")
		if s.Height > 0 && s.Height < len(lines)+2 {
			return strings.Join(lines[:min(len(lines)-1, s.Height)], "\n")
		}
	}
	return strings.Join(append(lines, single.draw(s, s.Offset, s.left(lines))...), "\n")
}
