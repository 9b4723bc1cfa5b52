package top

import (
	"cmp"
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
	{title: "SLOW", right: true, text: func(g *report.SlowGroup) string { return g.Slow() }},
	{title: "SINCE", right: true, text: func(g *report.SlowGroup) string { return g.Since() }},
	{title: "LAST", right: true, rank: 7, text: func(g *report.SlowGroup) string { return report.Clock(g.Last) }},
	{title: "LONGEST", right: true, rank: 6, text: func(g *report.SlowGroup) string { return report.Short(g.Most()) }},
	{title: "MEAN", right: true, rank: 5, text: func(g *report.SlowGroup) string { return report.Short(g.Typical()) }},
	{title: "SHARE", right: true, rank: 2, text: func(g *report.SlowGroup) string { return g.Percent() }},
	{title: "BEHIND", rank: 3, text: func(g *report.SlowGroup) string { return g.Waited() }},
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
const remedy = report.SlowRemedy + " BEHIND: those waited most of their time behind this command at their server, so it is the cause, " +
	"and they are not; or that it is a cause itself. SLOW: how many of all that there were. SHARE: of the time in which servers had slow commands."

// fewLines is the room below which there are only sums.
const fewLines = 8

// tables returns the sums and the single commands.
func (s *Slow) tables() (sums sheet[report.SlowGroup], single sheet[report.SlowCommand]) {
	several := len(s.Sentences) > 1
	return sheet[report.SlowGroup]{groupFields, several, "sums", s.Groups}, sheet[report.SlowCommand]{slowFields, several, "commands", s.Commands}
}

// Slow returns the tables of slow commands, below what each observer says of them: their sums, which
// take up to half of the room, and the single ones, for which a low terminal has none. The offset
// scrolls the sums to their end first, and then the others.
func (s *Screen) Slow(all Slow) string {
	sums, single := all.tables()
	lines := s.sentences(all.Sentences, 4)
	offset := s.Offset
	if len(all.Groups) > 0 {
		room := s.left(lines)
		if room > 0 && room < fewLines {
			return strings.Join(append(lines, sums.draw(s, offset, room)...), "\n")
		}
		first := min(offset, s.scrolledSums(&sums, room))
		offset -= first
		lines = append(lines, sums.draw(s, first, room/2)...)
		lines = append(append(lines, strings.Split(faint.Styled(s.few(remedy, "", maxTold)), "\n")...), "")
		if s.Height > 0 && s.Height < len(lines)+2 {
			return strings.Join(lines[:min(len(lines)-1, s.Height)], "\n")
		}
	}
	return strings.Join(append(lines, single.draw(s, offset, s.left(lines))...), "\n")
}

// scrolledSums returns by how many rows the sums can scroll in a room, of which they have half.
func (s *Screen) scrolledSums(sums *sheet[report.SlowGroup], room int) int {
	if room == 0 {
		return 0
	}
	rows, _ := sums.matching(s)
	return max(len(rows)-(room/2-1), 0)
}

// slowRows returns the number of rows through which Slow scrolls.
func (s *Screen) slowRows(all Slow) int {
	sums, single := all.tables()
	room := s.left(s.sentences(all.Sentences, 4))
	if room > 0 && room < fewLines && len(all.Groups) > 0 {
		rows, _ := sums.matching(s)
		return len(rows)
	}
	rows, _ := single.matching(s)
	return s.scrolledSums(&sums, room) + len(rows)
}
