package top

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

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

// slowColumns are the columns of slow commands, in their order.
var slowColumns = []struct {
	title string
	right bool
	rank  int // narrow terminals leave out the highest first; 0 always stays
	text  func(c *report.SlowCommand) string
}{
	{title: "WHEN", text: func(c *report.SlowCommand) string { return c.Time.Local().Format("15:04:05") }},
	{title: "NODE", rank: 1, text: func(c *report.SlowCommand) string { return c.Node }},
	{title: "NAME", text: func(c *report.SlowCommand) string { return c.Name }},
	{title: "COMMAND", text: func(c *report.SlowCommand) string { return c.Command }},
	{title: "DURATION", right: true, text: func(c *report.SlowCommand) string { return report.Short(c.Duration()) }},
	{title: "OUTCOME", rank: 2, text: func(c *report.SlowCommand) string { return c.Result() }},
	{title: "PIPELINE", right: true, rank: 3, text: func(c *report.SlowCommand) string { return c.Place() }},
	{title: "BYTES", right: true, rank: 6, text: func(c *report.SlowCommand) string { return c.Bytes() }},
	{title: "PEER", rank: 4, text: func(c *report.SlowCommand) string { return c.Peer }},
	{title: "OWN END", rank: 7, text: func(c *report.SlowCommand) string { return c.Local }},
	{title: "PROCESS", rank: 5, text: func(c *report.SlowCommand) string { return c.Process }},
}

// Slow returns the table of slow commands, below what each observer says of them.
func (s *Screen) Slow(all Slow) string {
	var lines []string
	for _, node := range slices.Sorted(maps.Keys(all.Sentences)) {
		lines = append(lines, s.cut(printable(fmt.Sprintf("%s: %s.", node, all.Sentences[node]))))
	}
	if most := max(s.Height-4, 1); s.Height > 0 && len(lines) > most { // room for a row at least
		lines = lines[:most]
	}
	lines = append(lines, "")
	var rows [][]string
	for i := range all.Commands {
		c := &all.Commands[i]
		var row []string
		for _, column := range slowColumns {
			row = append(row, printable(column.text(c)))
		}
		if strings.Contains(strings.ToLower(strings.Join(row, " ")), strings.ToLower(s.Filter)) {
			rows = append(rows, row)
		}
	}
	shown, widths := s.slowWidths(rows, len(all.Sentences) > 1)
	lines = append(lines, s.slowLine(shown, widths, func(i int) (string, ansi.Style) { return slowColumns[i].title, bold }))
	first := min(max(s.Offset, 0), len(rows))
	last := len(rows)
	if s.Height > 0 {
		last = min(last, first+max(s.Height-len(lines), 1))
	}
	for _, row := range rows[first:last] {
		lines = append(lines, s.slowLine(shown, widths, func(i int) (string, ansi.Style) {
			if slowColumns[i].title == "OUTCOME" && row[i] != "success" {
				return row[i], red
			}
			return row[i], plainText
		}))
	}
	return strings.Join(lines, "\n")
}

// slowWidths returns the columns that are shown, and the widths of all.
func (s *Screen) slowWidths(rows [][]string, nodes bool) (shown, widths []int) {
	sum := -gap
	for i, column := range slowColumns {
		width, used := ansi.StringWidth(column.title), len(rows) == 0
		for _, row := range rows {
			width, used = max(width, min(ansi.StringWidth(row[i]), maxText)), used || row[i] != ""
		}
		widths = append(widths, width)
		if used && (nodes || column.title != "NODE") {
			shown, sum = append(shown, i), sum+width+gap
		}
	}
	for s.Width > 0 && sum > s.Width {
		worst := slices.MaxFunc(shown, func(a, b int) int { return cmp.Compare(slowColumns[a].rank, slowColumns[b].rank) })
		if slowColumns[worst].rank == 0 {
			break
		}
		shown, sum = slices.DeleteFunc(shown, func(i int) bool { return i == worst }), sum-widths[worst]-gap
	}
	return shown, widths
}

func (s *Screen) slowLine(shown, widths []int, cell func(int) (string, ansi.Style)) string {
	return s.join(shown, func(i int) (string, ansi.Style, int, bool) {
		text, style := cell(i)
		return text, style, widths[i], slowColumns[i].right
	})
}
