package top

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// field is a column of a sheet.
type field[T any] struct {
	title string
	right bool
	rank  int // narrow terminals leave out the highest first; 0 always stays
	text  func(*T) string
	bad   func(*T) bool // shown in red; nil for never
}

// sheet is a table whose rows have an order of their own, below what each observer says of it.
type sheet[T any] struct {
	fields    []field[T]
	sentences map[string]string // by observer
	items     []T
}

// draw returns the text of a sheet.
func (h *sheet[T]) draw(s *Screen) string {
	var lines []string
	for _, node := range slices.Sorted(maps.Keys(h.sentences)) {
		lines = append(lines, s.cut(printable(fmt.Sprintf("%s: %s.", node, h.sentences[node]))))
	}
	if most := max(s.Height-4, 1); s.Height > 0 && len(lines) > most { // room for a row at least
		lines = lines[:most]
	}
	lines = append(lines, "")
	var rows [][]string
	var bad [][]bool
	for i := range h.items {
		row, marks := make([]string, len(h.fields)), make([]bool, len(h.fields))
		for f, of := range h.fields {
			row[f], marks[f] = printable(of.text(&h.items[i])), of.bad != nil && of.bad(&h.items[i])
		}
		if strings.Contains(strings.ToLower(strings.Join(row, " ")), strings.ToLower(s.Filter)) {
			rows, bad = append(rows, row), append(bad, marks)
		}
	}
	shown, widths := h.widths(s, rows)
	lines = append(lines, h.line(s, shown, widths, func(i int) (string, ansi.Style) { return h.fields[i].title, bold }))
	first := min(max(s.Offset, 0), len(rows))
	last := len(rows)
	if s.Height > 0 {
		last = min(last, first+max(s.Height-len(lines), 1))
	}
	for r := first; r < last; r++ {
		lines = append(lines, h.line(s, shown, widths, func(i int) (string, ansi.Style) {
			if bad[r][i] {
				return rows[r][i], red
			}
			return rows[r][i], plainText
		}))
	}
	return strings.Join(lines, "\n")
}

// widths returns the fields that are shown, and the widths of all.
func (h *sheet[T]) widths(s *Screen, rows [][]string) (shown, widths []int) {
	sum := -gap
	for i, of := range h.fields {
		width, used := ansi.StringWidth(of.title), len(rows) == 0
		for _, row := range rows {
			width, used = max(width, min(ansi.StringWidth(row[i]), maxText)), used || row[i] != ""
		}
		widths = append(widths, width)
		if used && (len(h.sentences) > 1 || of.title != "NODE") {
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
