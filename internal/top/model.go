package top

import (
	"context"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/redis-observer/redis-observer/internal/report"
)

// Scraper returns a sample of each observer, or its error by its name. *Client implements it.
type Scraper interface {
	Scrape(ctx context.Context) (samples []*report.Sample, failures map[string]error)
	// Slow returns their slow commands.
	Slow(ctx context.Context) Slow
	// Addresses returns their addresses.
	Addresses(ctx context.Context) Addresses
}

// Model is the program in the terminal. It implements tea.Model.
type Model struct {
	scraper  Scraper
	interval time.Duration
	screen   Screen
	watch    report.Watch
	view     report.View
	height   int

	slow      Slow
	addresses Addresses
	asking    [kinds]bool // by Kind: they were asked for, and have not come

	filtering, paused, help bool
}

// NewModel returns a Model that scrapes at an interval.
func NewModel(scraper Scraper, interval time.Duration, screen Screen) *Model {
	screen.Keys = true
	m := &Model{scraper: scraper, interval: interval, screen: screen}
	m.view = m.watch.View(screen.By)
	return m
}

// ask asks for the details that are shown.
func (m *Model) ask() tea.Cmd {
	shows := m.screen.Shows
	if shows != AllAddresses {
		shows = SlowCommands // the head says what is slow, too
	}
	if m.asking[shows] {
		return nil
	}
	m.asking[shows] = true
	return func() tea.Msg {
		if shows == AllAddresses {
			return m.scraper.Addresses(context.Background())
		}
		return m.scraper.Slow(context.Background())
	}
}

// show shows something else than commands, or those again.
func (m *Model) show(shows Kind) tea.Cmd {
	if m.screen.Shows == shows {
		shows = Commands
	}
	m.screen.Shows, m.screen.Offset = shows, 0
	return m.ask()
}

// scraped is the result of one round.
type scraped struct {
	at       time.Time
	samples  []*report.Sample
	failures map[string]error
}

type due struct{}

func (m *Model) scrape() tea.Msg {
	samples, failures := m.scraper.Scrape(context.Background())
	return scraped{time.Now(), samples, failures}
}

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return tea.Batch(m.scrape, m.ask()) }

// Update implements tea.Model.
func (m *Model) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch message := message.(type) {
	case tea.WindowSizeMsg:
		m.screen.Width, m.height = message.Width, message.Height
	case scraped:
		m.watch.Update(message.at, message.samples, message.failures)
		if !m.paused {
			m.view = m.watch.View(m.screen.By)
		}
		return m, tea.Tick(m.interval, func(time.Time) tea.Msg { return due{} })
	case Slow:
		m.asking[SlowCommands] = false
		if !m.paused {
			m.slow = message
		}
	case Addresses:
		m.asking[AllAddresses] = false
		if !m.paused {
			m.addresses = message
		}
	case due:
		return m, tea.Batch(m.scrape, m.ask())
	case tea.KeyPressMsg:
		if m.filtering {
			m.typeFilter(message)
			return m, nil
		}
		return m, m.press(message.String())
	}
	return m, nil
}

// typeFilter adds a key to the filter.
func (m *Model) typeFilter(key tea.KeyPressMsg) {
	switch key.String() {
	case "enter":
		m.filtering = false
	case "esc", "ctrl+c":
		m.filtering, m.screen.Filter = false, ""
	case "backspace":
		if runes := []rune(m.screen.Filter); len(runes) > 0 {
			m.screen.Filter = string(runes[:len(runes)-1])
		}
	default:
		m.screen.Filter += key.Text
	}
	m.screen.Offset = 0
}

// keys are the keys with their effects, in the order of the help.
var keys = []struct {
	keys   []string
	text   string // "" is not in the help
	effect func(*Model) tea.Cmd
}{
	{[]string{"left", "<"}, "order by the column to the left; right and > by the one to the right", func(m *Model) tea.Cmd { return m.order(-1) }},
	{[]string{"right", ">"}, "", func(m *Model) tea.Cmd { return m.order(1) }},
	{[]string{"r"}, "reverse the order", func(m *Model) tea.Cmd { m.screen.Up = !m.screen.Up; return nil }},
	{[]string{"/"}, "show only rows that contain a text; Enter ends it, Esc removes it", func(m *Model) tea.Cmd { m.filtering = true; return nil }},
	{[]string{"a"}, "rows by name, label and command", func(m *Model) tea.Cmd { return m.group(report.By{Name: true, Labels: true, Command: true}) }},
	{[]string{"n"}, "rows by name", func(m *Model) tea.Cmd { return m.group(report.By{Name: true}) }},
	{[]string{"l"}, "rows by name and label", func(m *Model) tea.Cmd { return m.group(report.By{Name: true, Labels: true}) }},
	{[]string{"c"}, "rows by command", func(m *Model) tea.Cmd { return m.group(report.By{Command: true}) }},
	{[]string{"o"}, "separate or sum the nodes", func(m *Model) tea.Cmd {
		by := m.screen.By
		by.Node = !by.Node
		return m.group(by)
	}},
	{[]string{"s"}, "slow commands, and back", func(m *Model) tea.Cmd { return m.show(SlowCommands) }},
	{[]string{"u"}, "addresses without a name, names with their addresses, and back", func(m *Model) tea.Cmd { return m.show(AllAddresses) }},
	{[]string{"x"}, "whether numbers are exact: what was lost, what to do; and back", func(m *Model) tea.Cmd { return m.show(Exactness) }},
	{[]string{"space", "p"}, "pause and go on", func(m *Model) tea.Cmd { m.paused = !m.paused; return m.group(m.screen.By) }},
	{[]string{"up", "k"}, "scroll up; down, j and the page keys scroll too", func(m *Model) tea.Cmd { return m.scroll(-1) }},
	{[]string{"down", "j"}, "", func(m *Model) tea.Cmd { return m.scroll(1) }},
	{[]string{"pgup"}, "", func(m *Model) tea.Cmd { return m.scroll(-10) }},
	{[]string{"pgdown"}, "", func(m *Model) tea.Cmd { return m.scroll(10) }},
	{[]string{"?", "h"}, "this help", func(m *Model) tea.Cmd { m.help = !m.help; return nil }},
	{[]string{"esc"}, "", func(m *Model) tea.Cmd { m.help, m.screen.Filter = false, ""; return nil }},
	{[]string{"q", "ctrl+c"}, "end", func(*Model) tea.Cmd { return tea.Quit }},
}

// press runs the effect of a key.
func (m *Model) press(pressed string) tea.Cmd {
	for _, k := range keys {
		for _, key := range k.keys {
			if key == pressed {
				return k.effect(m)
			}
		}
	}
	return nil
}

// order moves to another shown column.
func (m *Model) order(by int) tea.Cmd {
	_, _, shown := m.screen.cells(m.screen.Rows(m.view))
	at := 0
	for i, column := range shown {
		if column == m.screen.Order {
			at = i
		}
	}
	m.screen.Order = shown[(at+by+len(shown))%len(shown)]
	return nil
}

// group changes what separates the rows.
func (m *Model) group(by report.By) tea.Cmd {
	if m.paused {
		return nil // the interval on the screen is gone
	}
	m.screen.By, m.screen.Offset = by, 0
	m.view = m.watch.View(by)
	if _, _, shown := m.screen.cells(nil); !contains(shown, m.screen.Order) {
		m.screen.Order = columnOf("TIME")
	}
	return nil
}

func contains(list []int, n int) bool {
	for _, one := range list {
		if one == n {
			return true
		}
	}
	return false
}

func (m *Model) scroll(by int) tea.Cmd {
	rows := 0
	switch m.screen.Shows {
	case Commands:
		rows = len(m.screen.Rows(m.view))
	case SlowCommands:
		rows = m.screen.slowRows(m.slow)
	case AllAddresses:
		rows = len(m.addresses.rows())
	case Exactness:
		rows = len(m.screen.lost(m.view)) - m.screen.Height + 1 // to the last page, not beyond it
	}
	m.screen.Offset = min(max(m.screen.Offset+by, 0), max(rows-1, 0))
	return nil
}

// View implements tea.Model.
func (m *Model) View() tea.View {
	view := tea.NewView(m.text())
	view.AltScreen = true
	return view
}

// lowTerminal is the number of lines below which a terminal is low: the table needs them more than
// whole sentences do, which the keys s and x show.
const lowTerminal = 30

func (m *Model) text() string {
	if m.help {
		return m.helpText()
	}
	m.screen.Low = m.height > 0 && m.height < lowTerminal
	head, foot := m.screen.Head(m.view, m.slow.Groups), m.foot()
	if m.height > 0 {
		m.screen.Height = max(m.height-strings.Count(head+foot, "\n")-3, 2)
	}
	table := m.screen.Table(m.view)
	switch m.screen.Shows {
	case SlowCommands:
		table = m.screen.Slow(m.slow)
	case AllAddresses:
		table = m.screen.Addresses(m.addresses)
	case Exactness:
		table = m.screen.Exactness(m.view)
	}
	return head + "\n\n" + table + "\n" + foot
}

func (m *Model) foot() string {
	switch {
	case m.filtering:
		return bold.Styled(m.screen.cut("filter: " + m.screen.Filter + "▏"))
	case m.paused:
		return bold.Styled(m.screen.cut("paused at " + report.Clock(m.view.Time) + "; space goes on"))
	}
	text := "? help  ← → order  / filter  n c l a rows  s slow  x exact  u unnamed  q end"
	if m.screen.Filter != "" {
		text = "filter: " + m.screen.Filter + " (Esc removes it)  " + text
	}
	return faint.Styled(m.screen.wrap(text))
}

func (m *Model) helpText() string {
	lines := []string{bold.Styled("Keys")} // without a blank line, so that all are seen on a low terminal
	for _, k := range keys {
		if k.text != "" {
			lines = append(lines, m.screen.wrap(pad(strings.Join(k.keys, " "), 12)+k.text))
		}
	}
	lines = append(lines, m.screen.wrap("TIME: share of the time of all commands but those that wait (BLPOP). P50, P90, P99: so many percent took at most so long, "+
		"estimated; ~ of fewer than 20 commands. MAX: all took at most so long. Yellow: P50 of 10 ms or more. IN USE/AVAIL: open connections with a "+
		"command under way/without one."))
	return strings.Join(lines, "\n")
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(width-len([]rune(text)), 1))
}
