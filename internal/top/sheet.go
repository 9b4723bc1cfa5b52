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

// field is a column of a sheet.
type field[T any] struct {
	title string
	right bool
	rank  int // narrow terminals leave out the highest first; 0 always stays
	text  func(*T) string
	bad   func(*T) bool // shown in red; nil for never
}

// whose is the title of the field of further labels. If they are all of one label, its name is shown
// instead, and their cells have only its values.
const whose = "LABELS"

// sheet is a table whose rows have an order of their own.
type sheet[T any] struct {
	fields []field[T]
	nodes  bool   // there is more than one observer
	noun   string // of the rows; "" where there is no other table beside it
	items  []T
}

// matching returns the cells of the rows that pass the filter, and which of them are bad.
func (h *sheet[T]) matching(s *Screen) (rows [][]string, bad [][]bool) {
	for i := range h.items {
		row, marks := make([]string, len(h.fields)), make([]bool, len(h.fields))
		for f, of := range h.fields {
			row[f], marks[f] = printable(of.text(&h.items[i])), of.bad != nil && of.bad(&h.items[i])
		}
		if strings.Contains(strings.ToLower(strings.Join(row, " ")), strings.ToLower(s.Filter)) {
			rows, bad = append(rows, row), append(bad, marks)
		}
	}
	return rows, bad
}

// sentences returns what each observer says, by its name, and a blank line. On a low terminal it
// leaves room for some lines.
func (s *Screen) sentences(all map[string]string, room int) []string {
	var lines []string
	for _, node := range slices.Sorted(maps.Keys(all)) {
		lines = append(lines, s.cut(printable(fmt.Sprintf("%s: %s.", node, all[node]))))
	}
	if most := max(s.Height-room, 1); s.Height > 0 && len(lines) > most {
		lines = lines[:most]
	}
	return append(lines, "")
}

// left returns how many lines are left below some, 0 without limit.
func (s *Screen) left(lines []string) int {
	if s.Height == 0 {
		return 0
	}
	return max(s.Height-len(lines), 2)
}

// draw returns the lines of a sheet from a row on, most at most with its head; 0 without limit.
func (h *sheet[T]) draw(s *Screen, first, most int) []string {
	titles := make([]string, len(h.fields))
	rows, bad := h.matching(s)
	for f, of := range h.fields {
		if titles[f] = of.title; of.title == whose {
			titles[f] = shorten(rows, f)
		}
	}
	shown, widths := h.widths(s, titles, rows)
	lines := []string{h.line(s, shown, widths, func(i int) (string, ansi.Style) { return titles[i], bold })}
	first = min(max(first, 0), len(rows))
	last := len(rows)
	if most > 0 {
		last = lastRow(first, last, max(most-1, 1))
	}
	for r := first; r < last; r++ {
		lines = append(lines, h.line(s, shown, widths, func(i int) (string, ansi.Style) {
			if bad[r][i] {
				return rows[r][i], red
			}
			return rows[r][i], plainText
		}))
	}
	if last < len(rows) && last-first < most-1 {
		lines = append(lines, s.below(len(rows)-last, h.noun))
	}
	return lines
}

// shorten leaves the name of the one label out of a column, and returns its title.
func shorten(rows [][]string, column int) string {
	cells := make([]string, len(rows))
	for r := range rows {
		cells[r] = rows[r][column]
	}
	title, cells := report.Whose(cells)
	for r := range rows {
		rows[r][column] = cells[r]
	}
	return strings.ToUpper(title)
}

// widths returns the fields that are shown, and the widths of all.
func (h *sheet[T]) widths(s *Screen, titles []string, rows [][]string) (shown, widths []int) {
	sum := -gap
	for i, of := range h.fields {
		width, used := ansi.StringWidth(titles[i]), len(rows) == 0
		for _, row := range rows {
			width, used = max(width, min(ansi.StringWidth(row[i]), maxText)), used || row[i] != ""
		}
		widths = append(widths, width)
		if used && (h.nodes || of.title != "NODE") {
			shown, sum = append(shown, i), sum+width+gap
		}
	}
	for s.Width > 0 && sum > s.Width {
		worst := slices.MaxFunc(shown, func(a, b int) int { return cmp.Compare(h.fields[a].rank, h.fields[b].rank) })
		if h.fields[worst].rank == 0 {
			break
		}
		shown, sum = slices.DeleteFunc(shown, func(i int) bool { return i == worst }), sum-widths[worst]-gap
	}
	return shown, widths
}

func (h *sheet[T]) line(s *Screen, shown, widths []int, cell func(int) (string, ansi.Style)) string {
	return s.join(shown, func(i int) (string, ansi.Style, int, bool) {
		text, style := cell(i)
		return text, style, widths[i], h.fields[i].right
	})
}
