package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"github.com/redis-observer/redis-observer/internal/report"
)

// column is a column of the table.
type column struct {
	title   string
	left    bool // aligned; may be shortened
	rank    int  // narrow terminals leave out the highest first; 0 always stays
	text    func(report.Line) string
	compare func(a, b report.Line) int // ascending
	bad     func(report.Line) bool     // shown in red
	slow    bool                       // shown in yellow in slow rows
}

func duration(of func(report.Line) time.Duration) func(report.Line) string {
	return func(l report.Line) string {
		switch {
		case of(l) == 0:
			return "-"
		case l.Few():
			return "~" + report.Short(of(l))
		}
		return report.Short(of(l))
	}
}

func compareBy[T cmp.Ordered](of func(report.Line) T) func(a, b report.Line) int {
	return func(a, b report.Line) int { return cmp.Compare(of(a), of(b)) }
}

// columns are all columns, in their order. A label column is shown only if a row has labels. The one
// that orders the rows is never left out.
var columns = []column{
	{title: "NODE", left: true, rank: 2, text: func(l report.Line) string { return l.Node }, compare: compareBy(func(l report.Line) string { return l.Node })},
	{title: "NAME", left: true, text: func(l report.Line) string { return l.Name }, compare: compareBy(func(l report.Line) string { return l.Name })},
	{title: whose, left: true, rank: 1, text: func(l report.Line) string { return l.Labels }, compare: compareBy(func(l report.Line) string { return l.Labels })},
	{title: "COMMAND", left: true, text: func(l report.Line) string { return l.Command }, compare: compareBy(func(l report.Line) string { return l.Command })},
	{title: "RATE/s", text: func(l report.Line) string { return number(l.Rate) }, compare: compareBy(func(l report.Line) float64 { return l.Rate })},
	{
		title: "ERR/s", rank: 1, text: func(l report.Line) string { return number(l.Errors) }, compare: compareBy(func(l report.Line) float64 { return l.Errors }),
		bad: func(l report.Line) bool { return l.Errors > 0 },
	},
	{title: "TIME", rank: 4, text: share, compare: compareBy(func(l report.Line) float64 { return l.Share })},
	{title: "P50", slow: true, rank: 2, text: duration(func(l report.Line) time.Duration { return l.P50 }), compare: compareBy(func(l report.Line) time.Duration { return l.P50 })},
	{title: "P90", slow: true, rank: 7, text: duration(func(l report.Line) time.Duration { return l.P90 }), compare: compareBy(func(l report.Line) time.Duration { return l.P90 })},
	{title: "P99", slow: true, text: duration(func(l report.Line) time.Duration { return l.P99 }), compare: compareBy(func(l report.Line) time.Duration { return l.P99 })},
	{title: "MAX", rank: 6, text: highest, compare: compareBy(func(l report.Line) time.Duration { return time.Duration(uint64(l.Max) >> 1) })}, // -1 is above all
	{title: "IN USE/AVAIL", rank: 3, text: pool, compare: compareBy(inUse), bad: func(l report.Line) bool { return l.Pool != nil && l.Pool.InUse > 0 && l.Pool.Available == 0 }},
}

func share(l report.Line) string {
	if l.Waits {
		return "waits"
	}
	return fmt.Sprintf("%.1f%%", 100*l.Share)
}

func highest(l report.Line) string {
	if l.Max == 0 {
		return "-"
	}
	return report.Bound(l.Max)
}

func pool(l report.Line) string {
	if l.Pool == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f/%.0f", l.Pool.InUse, l.Pool.Available)
}

func inUse(l report.Line) float64 {
	if l.Pool == nil {
		return -1
	}
	return l.Pool.InUse
}

// number prints a rate with few digits.
func number(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f < 0.05:
		return "<0.1"
	case f < 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

// columnOf returns the index of a column by its title.
func columnOf(title string) int {
	return slices.IndexFunc(columns, func(c column) bool { return c.title == title })
}

// Screen draws views as text.
type Screen struct {
	Width  int // of the terminal; 0 without limit
	Height int // of the table with its head; 0 without limit
	Offset int // first row shown
	Order  int // index in columns
	Up     bool
	Filter string // shows only rows that contain it
	By     report.By

	Shows Kind
	Keys  bool // there is a keyboard: sentences say which key shows more
	Low   bool // the terminal is low: sentences are short
}

// Kind is what a Screen shows.
type Kind uint8

// The kinds.
const (
	Commands Kind = iota // the table
	SlowCommands
	AllAddresses
	Exactness
	kinds
)

// Styles of text. The writer of a terminal without colours removes them.
var (
	plainText = ansi.NewStyle()
	yellow    = ansi.NewStyle().Bold().ForegroundColor(ansi.Yellow)
	red       = ansi.NewStyle().Bold().ForegroundColor(ansi.BrightRed)
	faint     = ansi.NewStyle().Faint()
	bold      = ansi.NewStyle().Bold()
)

// NewScreen returns a Screen that shows all rows, the longest time first.
func NewScreen() Screen {
	return Screen{By: report.By{Name: true, Labels: true, Command: true}, Order: columnOf("TIME")}
}

// maxTold is how many lines a sentence has.
const maxTold = 3

// Head returns the lines above the table: the sum, what is slow, whether it is exact, and the
// observers that do not answer.
func (s *Screen) Head(v report.View, slow []report.SlowGroup) string {
	var rate, failing float64
	for _, line := range v.Lines {
		rate, failing = rate+line.Rate, failing+line.Errors
	}
	running, backends := 0, []string{}
	var failed []string
	for _, node := range v.Observers {
		if node.Error != "" {
			failed = append(failed, red.Styled(s.cut(node.Node+" does not answer: "+printable(node.Error))))
			continue
		}
		running++
		if !slices.Contains(backends, node.Backend) {
			backends = append(backends, node.Backend)
		}
	}
	sum := fmt.Sprintf("%s commands/s, %s errors/s", number(rate), number(failing))
	if v.Seconds == 0 {
		sum = "waiting for the end of the first interval"
	}
	lines := []string{
		s.cut(fmt.Sprintf("redis-observer %s  %s  %s (%s)", report.Clock(v.Time), sum, plural(running, "node"), printable(strings.Join(backends, ", ")))),
	}
	if len(v.Observers) == 1 { // its address says nothing
		slow = slices.Clone(slow)
		for i := range slow {
			slow[i].Node = ""
		}
	}
	verdict, behind := report.Verdict(slow, v.Time, report.Clock), " s shows all."
	if verdict == "" {
		verdict, behind = slowest(v.Lines), " s: since when."
	}
	if verdict != "" {
		lines = append(lines, yellow.Styled(s.few(verdict, behind, maxTold-1)))
	}
	exact := plainText
	switch {
	case v.Losing:
		exact = red
	case v.Recent:
		exact = yellow
	}
	behind = ""
	if len(v.All) > 0 {
		behind = " x shows all."
	}
	lines = append(lines, exact.Styled(s.few(report.Full(v.Sentence), behind, maxTold)))
	return strings.Join(append(lines, failed...), "\n")
}

// few breaks a sentence into so many lines at most, one less on a low terminal. The key behind it is
// never left out.
func (s *Screen) few(sentence, behind string, most int) string {
	if !s.Keys {
		behind = ""
	}
	if s.Low {
		most--
	}
	told := strings.Split(s.wrap(printable(sentence+behind)), "\n")
	if len(told) > most {
		told = strings.Split(s.wrap(printable(sentence)), "\n")[:most]
		told[most-1] = ansi.Truncate(told[most-1], max(s.Width-1-ansi.StringWidth(behind), 0), "") + "…" + behind
	}
	return strings.Join(told, "\n")
}

// slowest says which of the slow rows takes the most time, "" if there is none.
func slowest(lines []report.Line) string {
	var worst *report.Line
	slow := 0
	for i := range lines {
		if l := &lines[i]; l.Slow() {
			if slow++; worst == nil || l.Share > worst.Share {
				worst = l
			}
		}
	}
	if worst == nil {
		return ""
	}
	_, of := report.Whose([]string{worst.Labels})
	text := "Slow: " + strings.Join(slices.DeleteFunc([]string{worst.Node, worst.Name, worst.Command, of[0]}, func(s string) bool { return s == "" }), " ")
	text += fmt.Sprintf(", half take %s or more", report.Short(worst.P50))
	if slow > 1 {
		text += fmt.Sprintf(", and %s", plural(slow-1, "other row"))
	}
	return text + "."
}

// Exactness returns all that was lost since the start, with what it means and what to do.
func (s *Screen) Exactness(v report.View) string {
	lines := s.lost(v)
	first, last := 0, len(lines)
	if s.Height > 0 {
		first = min(max(s.Offset, 0), max(last-s.Height, 0))
		last = lastRow(first, last, s.Height)
	}
	shown := lines[first:last]
	if last < len(lines) && last-first < s.Height {
		shown = append(slices.Clip(shown), s.below(len(lines)-last, "lines"))
	}
	return strings.Join(shown, "\n")
}

// lost returns all lines of what was lost since the start.
func (s *Screen) lost(v report.View) []string {
	if len(v.All) == 0 {
		return []string{s.cut("Nothing was lost since the start: every number is exact.")}
	}
	lines := []string{bold.Styled(s.cut("What was lost since the start"))}
	for _, section := range v.List(report.Clock) {
		lines = append(lines, bold.Styled(s.cut(section.Title)))
		for _, entry := range section.Entries {
			lines = append(lines, strings.Split(s.wrap(printable(entry.Text)), "\n")...)
			for _, text := range []string{entry.Effect, entry.Remedy} {
				if text != "" {
					lines = append(lines, s.indented(text)...)
				}
			}
		}
	}
	return lines
}

// indented breaks a text into lines that begin with spaces.
func (s *Screen) indented(text string) []string {
	inner := Screen{Width: max(s.Width-2, 0)}
	lines := strings.Split(inner.wrap(printable(text)), "\n")
	for i := range lines {
		lines[i] = "  " + lines[i]
	}
	return lines
}

// Rows returns the rows of a view that pass the filter, in order.
func (s *Screen) Rows(v report.View) []report.Line {
	rows := slices.DeleteFunc(slices.Clone(v.Lines), func(l report.Line) bool {
		text := strings.ToLower(strings.Join([]string{l.Node, l.Name, l.Labels, l.Command}, " "))
		return !strings.Contains(text, strings.ToLower(s.Filter))
	})
	order := columns[s.Order]
	slices.SortStableFunc(rows, func(a, b report.Line) int {
		n := order.compare(a, b)
		if !s.Up && !order.left || s.Up && order.left {
			n = -n
		}
		return n
	})
	return rows
}

// Table returns the table of a view.
func (s *Screen) Table(v report.View) string {
	rows := s.Rows(v)
	titles, cells, shown := s.cells(rows)
	widths := s.widths(titles, cells, &shown)
	first := min(max(s.Offset, 0), len(rows))
	last := len(rows)
	if s.Height > 0 {
		last = lastRow(first, last, s.Height-1)
	}
	lines := []string{s.line(shown, widths, func(i int) (string, ansi.Style) { return titles[i], bold })}
	for r := first; r < last; r++ {
		lines = append(lines, s.line(shown, widths, func(i int) (string, ansi.Style) {
			style := plainText
			if bad := columns[i].bad; bad != nil && bad(rows[r]) {
				style = red
			} else if columns[i].slow && rows[r].Slow() {
				style = yellow
			}
			return cells[r][i], style
		}))
	}
	if last < len(rows) && last-first < s.Height-1 {
		lines = append(lines, s.below(len(rows)-last, ""))
	}
	if len(rows) == 0 {
		lines = append(lines, faint.Styled(s.cut(s.nothing(v))))
	}
	return strings.Join(lines, "\n")
}

// lastRow returns the last row that is shown from a first one on, if there is room for some lines: one
// of them says how many are below, unless it is the only one.
func lastRow(first, rows, room int) int {
	switch {
	case rows-first <= room:
		return rows
	case room > 1:
		return first + room - 1
	}
	return first + max(room, 0)
}

// below says how many rows are below those that are shown.
func (s *Screen) below(n int, noun string) string {
	return faint.Styled(s.cut(strings.Join(strings.Fields(fmt.Sprintf("%d more %s below", n, noun)), " ")))
}

func (s *Screen) nothing(v report.View) string {
	switch {
	case v.Seconds == 0:
		return ""
	case s.Filter != "":
		return "no row contains " + s.Filter
	}
	return "no command completed in this interval"
}

// cells returns the titles and texts of all columns, and the columns that are shown. The title of the
// order is marked.
func (s *Screen) cells(rows []report.Line) (titles []string, cells [][]string, shown []int) {
	labels := false
	for _, row := range rows {
		var texts []string
		for _, c := range columns {
			texts = append(texts, printable(c.text(row)))
		}
		cells = append(cells, texts)
		labels = labels || row.Labels != ""
	}
	for i, c := range columns {
		title := c.title
		if title == whose {
			title = shorten(cells, i)
		}
		if i == s.Order {
			title += map[bool]string{true: "↑", false: "↓"}[s.Up]
		}
		titles = append(titles, title)
		switch c.title {
		case "NODE":
			if !s.By.Node {
				continue
			}
		case "NAME":
			if !s.By.Name {
				continue
			}
		case whose:
			if !labels {
				continue
			}
		case "COMMAND":
			if !s.By.Command {
				continue
			}
		case "IN USE/AVAIL":
			if !s.By.Name {
				continue
			}
		}
		shown = append(shown, i)
	}
	return titles, cells, shown
}

// Limits of the columns of text.
const (
	gap      = 2
	minText  = 8
	maxText  = 40
	minWidth = 4
)

// widths returns the width of each shown column. On a narrow terminal it leaves columns out, and
// then shortens those of text.
func (s *Screen) widths(titles []string, cells [][]string, shown *[]int) map[int]int {
	rank := func(i int) int {
		if i == s.Order {
			return 0
		}
		return columns[i].rank
	}
	widths := map[int]int{}
	for _, i := range *shown {
		widths[i] = max(minWidth, ansi.StringWidth(titles[i]))
		for _, row := range cells {
			widths[i] = max(widths[i], ansi.StringWidth(row[i]))
		}
		if columns[i].left {
			widths[i] = min(widths[i], maxText)
		}
	}
	for s.Width > 0 && s.over(*shown, widths) > 0 {
		worst := slices.MaxFunc(*shown, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
		if rank(worst) == 0 {
			break
		}
		*shown = slices.DeleteFunc(slices.Clone(*shown), func(i int) bool { return i == worst })
	}
	for _, i := range *shown {
		if over := s.over(*shown, widths); s.Width > 0 && over > 0 && columns[i].left {
			widths[i] = max(min(minText, widths[i]), widths[i]-over)
		}
	}
	return widths
}

// over returns by how much a row is too wide.
func (s *Screen) over(shown []int, widths map[int]int) int {
	sum := -gap
	for _, i := range shown {
		sum += widths[i] + gap
	}
	return sum - s.Width
}

func (s *Screen) line(shown []int, widths map[int]int, cell func(int) (string, ansi.Style)) string {
	return s.join(shown, func(i int) (string, ansi.Style, int, bool) {
		text, style := cell(i)
		return text, style, widths[i], !columns[i].left
	})
}

// join joins the cells of the shown columns: text and style, and width and side of the column.
func (s *Screen) join(shown []int, cell func(int) (text string, style ansi.Style, width int, right bool)) string {
	var parts []string
	for _, i := range shown {
		text, style, width, right := cell(i)
		text = ansi.Truncate(text, width, "…")
		space := strings.Repeat(" ", width-ansi.StringWidth(text))
		if right {
			parts = append(parts, space+style.Styled(text))
		} else {
			parts = append(parts, style.Styled(text)+space)
		}
	}
	return s.cut(strings.TrimRight(strings.Join(parts, strings.Repeat(" ", gap)), " "))
}

// cut limits a line to the width of the terminal.
func (s *Screen) cut(line string) string {
	if s.Width == 0 {
		return line
	}
	return ansi.Truncate(line, s.Width, "…")
}

// wrap breaks a text into lines of the width of the terminal.
func (s *Screen) wrap(text string) string {
	if s.Width == 0 {
		return text
	}
	return ansi.Wordwrap(text, s.Width, "")
}

// printable replaces control characters, which a terminal would execute.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}
