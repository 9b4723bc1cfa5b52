package top

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/report"
)

var update = flag.Bool("update", false, "write the golden frames")

// mustSample returns the sample of a file, taken some seconds after noon.
func mustSample(tb testing.TB, node, file string, after int) *report.Sample {
	tb.Helper()
	text, err := os.Open(filepath.Join("testdata", file))
	require.NoError(tb, err)
	defer text.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	require.NoError(tb, err)
	var list []*dto.MetricFamily
	for _, family := range families {
		list = append(list, family)
	}
	return report.NewSample(node, noon(after), list)
}

// TestMain sets the zone of the times on the screen, before any other goroutine asks for it.
func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

func noon(after int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, after, 0, time.UTC)
}

// nobody is a Scraper of which nothing comes.
type nobody struct{}

func (nobody) Scrape(context.Context) ([]*report.Sample, map[string]error) { return nil, nil }

func (nobody) Slow(context.Context) Slow { return Slow{} }

func (nobody) Addresses(context.Context) Addresses { return Addresses{} }

// mustModel returns a Model after one interval of two nodes, of which a third does not answer.
func mustModel(tb testing.TB, width, height int) *Model {
	tb.Helper()
	m := NewModel(nobody{}, time.Second, NewScreen())
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	down := map[string]error{"node-3:9479": errors.New("connection refused")}
	m.Update(scraped{noon(10), []*report.Sample{mustSample(tb, "node-1:9479", "before.prom", 10), mustSample(tb, "node-2:9479", "before.prom", 10)}, down})
	m.Update(scraped{noon(20), []*report.Sample{mustSample(tb, "node-1:9479", "after.prom", 20), mustSample(tb, "node-2:9479", "lossy.prom", 20)}, down})
	m.Update(Slow{
		Sentences: map[string]string{"node-1:9479": "5 commands took 10ms or longer since 11:50; the slowest 4 are shown", "node-2:9479": "slow commands are not kept (set slow_commands.size, to 128 for example)"},
		Groups: []report.SlowGroup{
			{Node: "node-1:9479", Name: "session-cache", Labels: "process_executable_name=report", Process: "report", Command: "keys", Count: 281, Of: 290, Cause: true, First: noon(-3600), Last: noon(19), Mean: 0.021, Longest: 0.43, Share: 0.97},
			{Node: "node-1:9479", Name: "session-cache", Labels: "process_executable_name=web\x1b[2J", Command: "lpush", Count: 12, First: noon(-86400), Last: noon(3), Mean: 0.012, Longest: 0.24, Share: 0.03},
		},
		Commands: []report.SlowCommand{
			{Node: "node-1:9479", Time: noon(3), Name: "session-cache", Command: "keys", Seconds: 0.25, Outcome: "success", Count: 1, RequestBytes: 30, ResponseBytes: 250000, Position: 1, Length: 4, Local: "10.0.0.1:40000", Peer: "10.0.0.2:6379"},
			{Node: "node-1:9479", Time: noon(3), Name: "session-cache", Command: "lpush", Seconds: 0.24, Outcome: "error", Prefix: "WRONGTYPE", Count: 3, Position: 2, Length: 4, ResponseBytes: 90, Transaction: true, Local: "10.0.0.1:40000", Peer: "10.0.0.2:6379", Process: "web\x1b[2J"},
		},
	})
	m.Update(Addresses{
		Sentences: map[string]string{"node-1:9479": "14 connections to 2 addresses on observed ports have no name; an endpoint with the address gives one", "node-2:9479": "addresses are not served: anybody could read them"},
		Unnamed: []report.Unnamed{
			{Node: "node-1:9479", Address: "10.0.0.9:6379", Role: "client", Connections: 12, Executables: []string{"cron", "web\x1b[2J"}},
			{Node: "node-1:9479", Address: "[fd00::9]:6379", Role: "server", Connections: 2},
		},
		Named: []report.Named{
			{Node: "node-1:9479", Name: "session-cache", Role: "client", Address: "cache.internal:6379", Resolved: []string{"10.0.0.1", "10.0.0.2"}, More: 3},
			{Node: "node-1:9479", Name: "job-queue", Role: "server", Address: "gone.internal:6379", Error: "no such host"},
			{Node: "node-1:9479", Role: "ignore", Address: "127.0.0.1:16379"},
		},
	})
	return m
}

func press(m *Model, keys ...string) {
	for _, key := range keys {
		switch key {
		case "enter":
			m.Update(tea.KeyPressMsg{Code: tea.KeyEnter})
		case "esc":
			m.Update(tea.KeyPressMsg{Code: tea.KeyEscape})
		case "left":
			m.Update(tea.KeyPressMsg{Code: tea.KeyLeft})
		case "down":
			m.Update(tea.KeyPressMsg{Code: tea.KeyDown})
		case "backspace":
			m.Update(tea.KeyPressMsg{Code: tea.KeyBackspace})
		case "space":
			m.Update(tea.KeyPressMsg{Code: tea.KeySpace, Text: " "})
		default:
			m.Update(tea.KeyPressMsg{Code: rune(key[0]), Text: key})
		}
	}
}

func TestFrames(t *testing.T) {
	tests := []struct {
		name          string
		width, height int
		keys          []string
	}{
		{"wide", 120, 20, nil},
		{"medium", 80, 20, nil},
		{"narrow", 44, 20, nil},
		{"low", 100, 9, []string{"down"}},
		{"by-name", 100, 20, []string{"n"}},
		{"by-command", 100, 20, []string{"c"}},
		{"by-label", 100, 20, []string{"l"}},
		{"by-node", 120, 20, []string{"o"}},
		{"ordered", 100, 20, []string{"left", "left", "r"}},
		{"filtering", 100, 20, []string{"/", "q", "u", "x", "backspace"}},
		{"filtered", 100, 20, []string{"/", "q", "u", "enter"}},
		{"nothing", 100, 20, []string{"/", "z", "enter"}},
		{"paused", 100, 20, []string{"space", "n"}},
		{"slow", 130, 20, []string{"s"}},
		{"slow-narrow", 80, 20, []string{"s"}},
		{"slow-tiny", 40, 12, []string{"s"}},
		{"slow-filtered", 130, 20, []string{"s", "/", "l", "p", "enter"}},
		{"slow-scrolled", 130, 20, []string{"s", "down", "down", "down"}},
		{"slow-and-back", 120, 20, []string{"s", "s"}},
		{"addresses", 130, 20, []string{"u"}},
		{"addresses-narrow", 80, 20, []string{"u"}},
		{"addresses-tiny", 40, 12, []string{"u"}},
		{"addresses-filtered", 130, 20, []string{"u", "/", "j", "o", "b", "enter"}},
		{"addresses-scrolled", 130, 20, []string{"u", "down", "down", "down", "down", "down", "down", "down"}},
		{"addresses-and-back", 120, 20, []string{"s", "u", "u"}},
		{"exactness", 100, 20, []string{"x"}},
		{"exactness-narrow", 44, 14, []string{"x", "down"}},
		{"exactness-and-back", 120, 20, []string{"x", "x"}},
		{"help", 100, 20, []string{"?"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := mustModel(t, test.width, test.height)
			press(m, test.keys...)
			frame := ansi.Strip(m.text()) + "\n"
			lines := strings.Split(strings.TrimSuffix(frame, "\n"), "\n")
			assert.LessOrEqual(t, len(lines), test.height)
			for _, line := range lines {
				assert.LessOrEqual(t, ansi.StringWidth(line), test.width, line)
			}
			golden := filepath.Join("testdata", test.name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(frame), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), frame)
		})
	}
}

// What orders the rows is never left out, nor whose they are on a terminal of 80 columns.
func TestColumnsThatStay(t *testing.T) {
	for _, c := range columns {
		m := mustModel(t, 80, 20)
		m.screen.Order, m.screen.By.Node = columnOf(c.title), c.title == "NODE"
		want := map[bool]string{true: "POD", false: c.title}[c.title == whose] + "↓"
		assert.Contains(t, ansi.Strip(m.text()), want)
		assert.Regexp(t, `NAME.* POD.* COMMAND`, ansi.Strip(m.text()))
	}
}

// A row of which most commands are slow is marked, and said above the table; one that waits is not.
func TestSlowRows(t *testing.T) {
	row := func(command string, p50 time.Duration, share float64) report.Line {
		return report.Line{Key: report.Key{Name: "orders-db", Labels: "process_executable_name=report", Command: command}, Count: 100, Share: share, P50: p50, P99: 50 * time.Millisecond}
	}
	v := report.View{Seconds: 2, Sentence: "x", Lines: []report.Line{row("get", time.Millisecond, 0.9), row("keys", 11*time.Millisecond, 0.01), row("eval", 20*time.Millisecond, 0.09)}}
	s := NewScreen()
	assert.Contains(t, s.Head(v, nil), "Slow: orders-db eval report, half take 20.00ms or more, and 1 other row.\x1b", "no keys where there is no keyboard")
	s.Keys = true
	assert.Contains(t, s.Head(v, nil), "Slow: orders-db eval report, half take 20.00ms or more, and 1 other row. s: since when.")
	assert.Contains(t, s.Table(v), "\x1b[1;33m20.00ms")
	assert.NotContains(t, s.Table(v), "\x1b[1;33m1.00ms")
	v.Time = noon(20)
	groups := []report.SlowGroup{{Name: "orders-db", Command: "eval", Process: "report", First: noon(0), Last: noon(20), Share: 0.9, Cause: true}}
	v.Losing, v.Recent = true, true
	groups[0].Node, v.Observers = "n:1", make([]report.Node, 1)
	assert.Regexp(t, `(?s)Slow: orders-db eval of process report since 12:00:00\. .*X\.`, s.Head(v, groups), "from the sums, where there are any; before the losses")
	v.Lines = v.Lines[:1]
	assert.NotContains(t, s.Head(v, nil), "Slow:")
	waits := row("blpop", time.Second, 0)
	waits.Waits = true
	v.Lines = []report.Line{waits}
	assert.NotContains(t, s.Head(v, nil), "Slow:")
}

// Rows that are cut are said, and help is whole on a terminal of 80 columns and 24 lines.
func TestNothingIsCutSilently(t *testing.T) {
	s := NewScreen()
	s.Height = 4
	v := report.View{Seconds: 2, Sentence: "x"}
	for _, command := range []string{"a", "b", "c"} {
		v.Lines = append(v.Lines, report.Line{Key: report.Key{Name: "n", Command: command}, Count: 1})
	}
	assert.NotContains(t, s.Table(v), "below", "all fit")
	s.Height = 3
	assert.Regexp(t, `n +a .*\n.*2 more below`, s.Table(v))
	s.Offset = 1
	assert.NotContains(t, s.Table(v), "below", "the last two")
	rows := sheet[report.SlowGroup]{fields: groupFields, items: make([]report.SlowGroup, 5)}
	assert.Contains(t, strings.Join(rows.draw(&s, 0, 4), "\n"), "3 more below")
	assert.Len(t, rows.draw(&s, 0, 4), 4)

	commands := sheet[report.SlowGroup]{fields: groupFields, noun: "sums", items: make([]report.SlowGroup, 5)}
	assert.Contains(t, strings.Join(commands.draw(&s, 0, 4), "\n"), "3 more sums below")

	m := mustModel(t, 80, 24)
	m.text()
	assert.Regexp(t, `… x shows all\.\n`, ansi.Strip(m.text()), "whatever is cut")
	press(m, "x")
	for range 20 {
		frame := ansi.Strip(m.text())
		assert.NotRegexp(t, `\n\n\? help`, frame, "it is never empty")
		if !strings.Contains(frame, "lines below") {
			break
		}
		m.scroll(10)
	}
	assert.Regexp(t, `To do: nothing: its commands count from its first idle moment on\.\n\? help`, ansi.Strip(m.text()), "to the end, not beyond it")
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 60})
	assert.Contains(t, m.text(), "What was lost since the start", "from the begin on, where there is room")

	m = mustModel(t, 80, 24)
	press(m, "?")
	assert.LessOrEqual(t, strings.Count(m.text(), "\n"), 23)
	assert.NotContains(t, m.text(), "…")
}

// The keys scroll through the sums, and then through the single commands.
func TestSlowScrolls(t *testing.T) {
	m := mustModel(t, 100, 30)
	for i := range 20 {
		m.slow.Groups = append(m.slow.Groups, report.SlowGroup{Name: "cache", Command: fmt.Sprint("sum-", i)})
		m.slow.Commands = append(m.slow.Commands, report.SlowCommand{Name: "cache", Command: fmt.Sprint("single-", i)})
	}
	press(m, "s")
	frame := m.text()
	assert.Regexp(t, `more sums below(.|\n)*more commands below`, frame)
	assert.NotContains(t, frame, "sum-19")
	seen := map[string]bool{}
	for range 60 {
		frame = m.text()
		for _, command := range []string{"sum-19", "single-0 ", "single-19"} {
			seen[command] = seen[command] || strings.Contains(frame, command)
		}
		press(m, "down")
	}
	assert.Len(t, seen, 3)
	for command, found := range seen {
		assert.True(t, found, command)
	}
	assert.Contains(t, frame, "sum-19")
	assert.Contains(t, frame, "single-19")
	assert.NotContains(t, frame, "below")
}

// Quantiles of few commands are marked.
func TestFewCommands(t *testing.T) {
	s := NewScreen()
	line := report.Line{Key: report.Key{Name: "a", Command: "get"}, Count: report.FewCommands, P50: time.Millisecond}
	assert.NotContains(t, s.Table(report.View{Lines: []report.Line{line}}), "~")
	line.Count--
	assert.Contains(t, s.Table(report.View{Lines: []report.Line{line}}), "~1.00ms")
}

// Losses, errors, an exhausted pool and a silent node are red, also an address without a name and a failed lookup.
func TestRed(t *testing.T) {
	text := mustModel(t, 120, 20).text()
	for _, want := range []string{"node-3:9479 does not answer", "2/0", "3.0"} {
		assert.Contains(t, text, "\x1b[1;91m"+want)
	}
	assert.NotContains(t, text, "\x1b[1;91m0\x1b", "no errors are not red")
	for after, want := range map[int]string{
		16: "91mNumbers are being lost now on node-2:9479, since 12:00:11 and 2 times before, counts are too low: 30 events (about 2.4 % of all at that time)",
		20: "33mNumbers were lost on node-2:9479 3 times, last between 12:00:11 and 12:00:14 (none for 6 s), counts are too low: 30 events",
		80: "33mExact again since 12:00:14; numbers were lost on node-2:9479 3 times",
	} {
		later := mustModel(t, 160, 40)
		later.Update(scraped{noon(after), []*report.Sample{mustSample(t, "node-1:9479", "after.prom", after), mustSample(t, "node-2:9479", "lossy.prom", after)}, nil})
		assert.Contains(t, later.text(), "\x1b[1;"+want)
	}

	m := mustModel(t, 130, 20)
	press(m, "s")
	assert.Contains(t, m.text(), "\x1b[1;91merror WRONGTYPE")
	assert.NotContains(t, m.text(), "\x1b[1;91msuccess")
	press(m, "u")
	for _, want := range []string{"no name", "lookup failed"} {
		assert.Contains(t, m.text(), "\x1b[1;91m"+want)
	}
	assert.NotContains(t, m.text(), "\x1b[1;91msession-cache")
}

func TestPause(t *testing.T) {
	m := mustModel(t, 100, 20)
	press(m, "space")
	frame := m.text()
	m.Update(scraped{noon(30), []*report.Sample{mustSample(t, "node-1:9479", "after.prom", 30)}, nil})
	assert.Equal(t, frame, m.text())
	press(m, "space")
	assert.Contains(t, m.text(), "12:00:30")
}

func TestEnd(t *testing.T) {
	m := mustModel(t, 100, 20)
	for _, key := range []tea.KeyPressMsg{{Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}} {
		_, command := m.Update(key)
		require.NotNil(t, command)
		assert.IsType(t, tea.QuitMsg{}, command())
	}
}

// A name cannot execute anything in the terminal.
func TestControlCharacters(t *testing.T) {
	s := NewScreen()
	v := report.View{Seconds: 1, Sentence: "x", Lines: []report.Line{{Key: report.Key{Name: "a\x1b[2Jb\n", Command: "get"}, Rate: 1}}}
	assert.Contains(t, s.Table(v), "a?[2Jb?")
	v.Sentence = "lost: \x1b]0;x\a"
	assert.Contains(t, s.Head(v, nil), "Lost: ?]0;x?.")
}
