package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)

// mustSample returns the sample of a scrape that was taken some seconds after the start.
func mustSample(tb testing.TB, node string, after float64, text string) *Sample {
	tb.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(typed(text + "process_start_time_seconds " + startText(start) + "\n")))
	require.NoError(tb, err)
	var list []*dto.MetricFamily
	for _, family := range families {
		list = append(list, family)
	}
	return NewSample(node, start.Add(time.Duration(after*float64(time.Second))), list)
}

// typed adds the lines with the types of counters and gauges.
func typed(text string) string {
	var out strings.Builder
	last := ""
	for line := range strings.Lines(text) {
		name := line[:strings.IndexAny(line+"{", "{ \n")]
		if kind := "gauge"; name != last && name != "" && name != "#" && !strings.Contains(name, "duration") {
			if strings.HasSuffix(name, "_total") {
				kind = "counter"
			}
			if !strings.Contains(out.String(), "# TYPE "+name+" ") {
				out.WriteString("# TYPE " + name + " " + kind + "\n")
			}
		}
		last = name
		out.WriteString(line)
	}
	return out.String()
}

func startText(at time.Time) string {
	text, _ := json.Marshal(float64(at.Unix()))
	return string(text)
}

const earlier = `
redis_commands_total{name="a",command="get",status="success"} 1000
redis_commands_total{name="a",command="get",status="error"} 10
redis_command_errors_total{name="a",command="get"} 10
# TYPE redis_command_duration_seconds histogram
redis_command_duration_seconds_bucket{name="a",command="get",le="0.001"} 1000
redis_command_duration_seconds_bucket{name="a",command="get",le="0.01"} 1010
redis_command_duration_seconds_bucket{name="a",command="get",le="+Inf"} 1010
redis_command_duration_seconds_sum{name="a",command="get"} 1
redis_command_duration_seconds_count{name="a",command="get"} 1010
redis_pool_connections{name="a",state="in_use"} 1
redis_pool_connections{name="a",state="available"} 3
redis_pool_connections{name="idle",state="in_use"} 0
redis_pool_connections{name="idle",state="available"} 2
redis_pool_connections{name="gone",state="in_use"} 0
redis_pool_connections{name="gone",state="available"} 0
redis_observer_capture_lost_events_total{reason="ring_full"} 0
redis_observer_gaps_total{reason="missing",effect="skipped"} 7
redis_observer_unanswered_commands_total{name="a",reason="server_closed"} 7
redis_observer_build_info{version="1.2.3"} 1
redis_observer_capture_info{backend="tracepoint"} 1
`

// later is ten seconds after earlier: 100 commands, all between 1 and 10 ms, and 90 of another one.
const later = `
redis_commands_total{name="a",command="get",status="success"} 1080
redis_commands_total{name="a",command="get",status="error"} 30
redis_commands_total{name="a",command="set",status="success"} 90
redis_command_errors_total{name="a",command="get"} 30
# TYPE redis_command_duration_seconds histogram
redis_command_duration_seconds_bucket{name="a",command="get",le="0.001"} 1000
redis_command_duration_seconds_bucket{name="a",command="get",le="0.01"} 1110
redis_command_duration_seconds_bucket{name="a",command="get",le="+Inf"} 1110
redis_command_duration_seconds_sum{name="a",command="get"} 4
redis_command_duration_seconds_count{name="a",command="get"} 1110
redis_command_duration_seconds_bucket{name="a",command="set",le="0.001"} 0
redis_command_duration_seconds_bucket{name="a",command="set",le="0.01"} 0
redis_command_duration_seconds_bucket{name="a",command="set",le="+Inf"} 90
redis_command_duration_seconds_sum{name="a",command="set"} 1
redis_command_duration_seconds_count{name="a",command="set"} 90
redis_pool_connections{name="a",state="in_use"} 2
redis_pool_connections{name="a",state="available"} 0
redis_pool_connections{name="idle",state="in_use"} 0
redis_pool_connections{name="idle",state="available"} 2
redis_observer_capture_lost_events_total{reason="ring_full"} 0
redis_observer_gaps_total{reason="missing",effect="skipped"} 9
redis_observer_unanswered_commands_total{name="a",reason="server_closed"} 9
redis_observer_build_info{version="1.2.3"} 1
redis_observer_capture_info{backend="tracepoint"} 1
`

var all = By{Name: true, Labels: true, Command: true}

func at(after float64) time.Time { return start.Add(time.Duration(after * float64(time.Second))) }

func TestIntervals(t *testing.T) {
	var w Watch
	w.Update(at(10), []*Sample{mustSample(t, "n", 10, earlier)}, nil)
	first := w.View(all)
	assert.Equal(t, []Line{
		{Key: Key{Name: "a"}, Pool: &Pool{InUse: 1, Available: 3}}, {Key: Key{Name: "idle"}, Pool: &Pool{Available: 2}},
	}, first.Lines, "before the end of the first interval only the connections are known")
	w.Update(at(20), []*Sample{mustSample(t, "n", 20, later)}, nil)
	v := w.View(all)
	require.Len(t, v.Lines, 3)
	get := v.Lines[0]
	assert.Equal(t, Key{Name: "a", Command: "get"}, get.Key)
	assert.Equal(t, []float64{100, 10, 2, 0.75}, []float64{get.Count, get.Rate, get.Errors, get.Share})
	assert.Equal(t, 5500*time.Microsecond, get.P50, "of the interval: since the start it is below 1 ms")
	assert.Equal(t, 10*time.Millisecond, get.Max)
	assert.Equal(t, Pool{InUse: 2}, *get.Pool)
	set := v.Lines[1]
	assert.Equal(t, []float64{90, 9, 0, 0.25}, []float64{set.Count, set.Rate, set.Errors, set.Share}, "new in the interval")
	assert.Equal(t, 10*time.Millisecond, set.P99, "the highest bound")
	assert.Negative(t, set.Max)
	assert.Equal(t, Key{Name: "idle"}, v.Lines[2].Key, "connections without commands")
	assert.Equal(t, 10.0, v.Seconds)
	assert.Equal(t, []Node{{Node: "n", Version: "1.2.3", Backend: "tracepoint", Started: start}}, v.Observers)

	byName := w.View(By{Name: true}).Lines
	require.Len(t, byName, 2)
	assert.Equal(t, []float64{190, 19, 2, 1}, []float64{byName[0].Count, byName[0].Rate, byName[0].Errors, byName[0].Share})
	assert.Equal(t, 10*time.Millisecond, byName[0].P99, "of both commands together")
	byCommand := w.View(By{Command: true}).Lines
	require.Len(t, byCommand, 2)
	assert.Nil(t, byCommand[0].Pool)
	text, err := json.Marshal(set)
	require.NoError(t, err)
	assert.Contains(t, string(text), `"max":null`)
}

// The sum of nodes is that of their counters, not the mean of their quantiles.
func TestSumOfNodes(t *testing.T) {
	var w Watch
	w.Update(at(10), []*Sample{mustSample(t, "m", 10, earlier), mustSample(t, "n", 10, earlier)}, nil)
	w.Update(at(20), []*Sample{mustSample(t, "m", 20, later), mustSample(t, "n", 20, later)}, nil)
	lines := w.View(all).Lines
	require.Len(t, lines, 3)
	assert.Equal(t, []float64{200, 20, 4}, []float64{lines[0].Count, lines[0].Rate, lines[0].Errors})
	assert.Equal(t, 5500*time.Microsecond, lines[0].P50)
	assert.Equal(t, Pool{InUse: 4}, *lines[0].Pool)
	assert.Len(t, w.View(By{Node: true, Name: true, Command: true}).Lines, 6)

	w.Update(at(30), []*Sample{mustSample(t, "m", 30, later)}, map[string]error{"n": errors.New("refused")})
	v := w.View(all)
	assert.Equal(t, "refused", v.Observers[1].Error)
	assert.Equal(t, Pool{InUse: 2}, *v.Lines[0].Pool)
}

// Counters that begin anew are not a negative rate.
func TestRestart(t *testing.T) {
	var w Watch
	w.Update(at(10), []*Sample{mustSample(t, "n", 10, later)}, nil)
	restarted := mustSample(t, "n", 20, earlier)
	restarted.Started = at(15)
	w.Update(at(20), []*Sample{restarted}, nil)
	v := w.View(all)
	require.Len(t, v.Lines, 2)
	assert.Zero(t, v.Lines[0].Rate)
	assert.Equal(t, at(15), v.Since)
}

func TestLosses(t *testing.T) {
	var w Watch
	assert.Equal(t, "no observer has answered yet", w.View(all).Sentence)
	w.Update(at(10), []*Sample{mustSample(t, "n", 10, earlier)}, nil)
	v := w.View(all)
	assert.Equal(t, "every number since 12:00:00 is exact", v.Sentence, "the start of the observer")
	lossy := strings.ReplaceAll(later, `{reason="ring_full"} 0`, `{reason="ring_full"} 214`) + `redis_observer_unpaired_commands_total{name="a",reason="gap"} 1` + "\n"
	w.Update(at(20), []*Sample{mustSample(t, "n", 20, lossy)}, nil)
	v = w.View(all)
	assert.False(t, v.Exact)
	const why = ", counts are too low: 214 events were lost: the observer's ring buffer was full; double capture.ring_size in its configuration and restart it, or give it more CPU (and 1 other reason)"
	assert.Equal(t, "numbers are being lost now, since 12:00:10"+why, v.Sentence)
	assert.Equal(t, "1 request or reply was left without the other: the observer did not get all bytes of the connection; nothing else: it follows from the lost events or the gaps", v.Losses[1].String())
	w.Update(at(79), []*Sample{mustSample(t, "n", 79, lossy)}, nil)
	v = w.View(all)
	assert.False(t, v.Exact, "a minute must pass without a loss")
	assert.Equal(t, "numbers were lost between 12:00:10 and 12:00:20 (none for 59 s)"+why, v.Sentence)
	w.Update(at(80), []*Sample{mustSample(t, "n", 80, lossy)}, nil)
	v = w.View(all)
	assert.True(t, v.Exact)
	assert.True(t, v.Recent)
	assert.Equal(t, "exact again since 12:00:20; numbers were lost between 12:00:10 and 12:00:20"+why, v.Sentence)
	w.Update(at(20+Recent.Seconds()), []*Sample{mustSample(t, "n", 20+Recent.Seconds(), lossy)}, nil)
	v = w.View(all)
	assert.False(t, v.Recent)
	assert.Equal(t, "every number since 12:00:20 is exact; numbers were lost between 12:00:10 and 12:00:20"+why, v.Sentence)
	require.Len(t, v.All, 2)
	assert.Contains(t, v.All[1].Text, "1 request or reply (less than 0.1 % of the commands) was left without the other")
	assert.Equal(t, []time.Time{at(10), at(20)}, []time.Time{v.All[0].From, v.All[0].At})
	assert.Contains(t, v.All[0].Effect, "counts are too low by the commands in them")
	day := 24 * time.Hour.Seconds()
	w.Update(at(day), []*Sample{mustSample(t, "n", day, lossy)}, nil)
	assert.Contains(t, w.View(all).Sentence, "numbers were lost between 2026-03-01 12:00:10 and 2026-03-01 12:00:20, ", "yesterday")

	// Another reason is the last one; the list has both, and more of a former one.
	more := lossy + `redis_observer_unanswered_commands_total{name="a",reason="client_closed"} 2` + "\n"
	w.Update(at(day+400), []*Sample{mustSample(t, "n", day+400, more)}, nil)
	v = w.View(all)
	assert.Equal(t, "numbers are being lost now, since 12:00:00: 2 commands were given up by the client; nothing in the observer: find out why the client does not wait, such as a short timeout", v.Sentence, "no count is too low")
	require.Len(t, v.All, 3)
	assert.Equal(t, 214.0, v.All[0].Count)
	much := strings.Replace(more, `reason="gap"} 1`, `reason="gap"} 5000`, 1)
	much = strings.Replace(much, `reason="ring_full"} 214`, `reason="ring_full"} 220`, 1)
	w.Update(at(day+410), []*Sample{mustSample(t, "n", day+410, much)}, nil)
	v = w.View(all)
	assert.Contains(t, v.Sentence, "since 12:00:00, counts are too low: 6 events were lost: the observer's ring buffer was full; double", "the reason comes before what follows from it, however much it is")
	assert.Equal(t, []float64{220, 2, 5000}, []float64{v.All[0].Count, v.All[1].Count, v.All[2].Count})

	// What was lost before the first scrape is said too: nobody knows when it was.
	var second Watch
	second.Update(at(30), []*Sample{mustSample(t, "n", 30, lossy)}, nil)
	second.Update(at(90), []*Sample{mustSample(t, "n", 90, lossy)}, nil)
	assert.Equal(t, "exact again since 12:00:30; numbers were lost between 12:00:00 and 12:00:30"+why, second.View(all).Sentence)
}

// lost returns what an observer says of a counter of losses: the last episode, and how much of the count was lost in it.
func lost(c cause, total float64, begin, end, count float64) string {
	labels := `counter="` + c.family + `",reason="` + c.reason + `"`
	counter := `redis_observer_` + c.family + `_total{reason="` + c.reason + `"`
	if c.family == "gaps" {
		counter += `,effect="broken"`
	}
	return `redis_observer_last_loss_timestamp_seconds{` + labels + `,edge="begin"} ` + startText(at(begin)) + "\n" +
		`redis_observer_last_loss_timestamp_seconds{` + labels + `,edge="end"} ` + startText(at(end)) + "\n" +
		fmt.Sprintf("redis_observer_last_loss_count{%s} %g\n%s} %g\n", labels, count, counter, total)
}

func episodes(n int) string { return fmt.Sprintf("redis_observer_loss_episodes_total %d\n", n) }

func ratio(r float64) string {
	return fmt.Sprintf("redis_observer_last_loss_ratio{reason=\"no_storage\"} %g\n", r)
}

var (
	storage   = cause{"capture_lost_events", "no_storage"}
	missing   = cause{"gaps", "missing"}
	truncated = cause{"gaps", "truncated"}
	unpaired  = cause{"unpaired_commands", "gap"}
	midStream = cause{"unpaired_commands", "mid_stream"}
)

// An observer says itself when something was lost: whoever looks when, and since when, is told the same.
func TestTimesOfLosses(t *testing.T) {
	text := later + episodes(3) + lost(storage, 500, 108, 110, 30) + ratio(0.25) + lost(missing, 7, 109, 112, 2) + lost(unpaired, 9, 42, 44, 9)
	const want = "numbers were lost 3 times, last between 12:01:48 and 12:01:52 (none for 18 s), counts are too low: " +
		"30 events (about 25 % of all at that time) were lost: the kernel had no memory for a call; give the host more memory (and 1 other reason)"
	var often, once Watch
	for _, after := range []float64{112, 114, 116, 118, 130} {
		often.Update(at(after), []*Sample{mustSample(t, "n", after, text)}, nil)
		if after < 116 {
			assert.Contains(t, often.View(all).Sentence, "numbers are being lost now, since 12:01:48 and 2 times before, counts are too low: 30 events")
			assert.True(t, often.View(all).Losing)
		}
	}
	once.Update(at(130), []*Sample{mustSample(t, "n", 130, text)}, nil)
	v := once.View(all)
	assert.Equal(t, want, v.Sentence)
	assert.Equal(t, want, often.View(all).Sentence)
	assert.False(t, v.Losing)
	assert.Equal(t, 3, v.Episodes)
	assert.Equal(t, "30 of them last between 12:01:48 and 12:01:50", v.All[0].When(Clock))
	once.Update(at(172), []*Sample{mustSample(t, "n", 172, text)}, nil)
	assert.Contains(t, once.View(all).Sentence, "exact again since 12:01:52; numbers were lost 3 times, last between 12:01:48 and 12:01:52, counts are too low: 30 events (about 25 %")

	// What is harmless does not make numbers wrong.
	harmless := later + episodes(0) + lost(midStream, 2, 12, 12, 2)
	var quiet Watch
	quiet.Update(at(30), []*Sample{mustSample(t, "n", 30, harmless)}, nil)
	v = quiet.View(all)
	assert.True(t, v.Exact)
	assert.False(t, v.Recent)
	assert.Equal(t, "every number since 12:00:12 is exact; harmless, at 12:00:12: 2 requests or replies (about 0.2 % of the commands) were left without the other: the connection is older than the observer", v.Sentence)
	quiet.Update(at(130), []*Sample{mustSample(t, "n", 130, text+lost(midStream, 2000, 12, 111, 2))}, nil)
	v = quiet.View(all)
	assert.Equal(t, want, v.Sentence)
	require.Len(t, v.All, 4)
	assert.True(t, v.All[3].Harmless, "it comes last, however much it is")
	assert.Len(t, v.Losses, 2)
}

// Spans without a pause are one episode, also those of several observers. Which of them they are is said.
func TestEpisodesOfSeveral(t *testing.T) {
	none := later + episodes(0)
	one := later + episodes(2) + lost(storage, 30, 100, 110, 20) + ratio(0.5) + lost(unpaired, 1, 110, 160, 1) + lost(truncated, 4, 10, 20, 4)
	two := later + episodes(1) + lost(storage, 40, 220, 230, 40) + ratio(0.2)
	sentence := func(m, n string) string {
		var w Watch
		w.Update(at(240), []*Sample{mustSample(t, "m", 240, m), mustSample(t, "n", 240, n)}, nil)
		return w.View(all).Sentence
	}
	assert.Contains(t, sentence(none, one), "exact again", "after 80 s")
	assert.Contains(t, sentence(none, one), "numbers were lost on n 2 times, last between 12:01:40 and 12:02:40, counts are too low: 20 events (about 50 % of all at that time)")
	assert.Contains(t, sentence(one, two), "numbers were lost on 2 of 2 nodes 3 times, last between 12:01:40 and 12:03:50 (none for 10 s), counts are too low: 60 events (about 25 % of all at that time)", "60 s is no pause")
	later := strings.ReplaceAll(two, startText(at(220)), startText(at(221)))
	assert.Contains(t, sentence(one, later), "last between 12:03:41 and 12:03:50 (none for 10 s), counts are too low: 40 events (about 20 %")
	old := strings.ReplaceAll(one, episodes(2), "")
	assert.Contains(t, sentence(old, two), "numbers were lost on 2 of 2 nodes between", "one does not say how often")
}

// The list has the reasons that the sentence counts, and then the others; what to do of each, and the same meaning once.
func TestList(t *testing.T) {
	text := later + episodes(3) + lost(storage, 500, 108, 110, 30) + ratio(0.25) + lost(missing, 7, 109, 112, 2) + lost(unpaired, 9, 110, 112, 9) +
		lost(truncated, 5, 42, 44, 5) + lost(midStream, 2, 12, 12, 2)
	var w Watch
	w.Update(at(130), []*Sample{mustSample(t, "n", 130, text)}, nil)
	v := w.View(all)
	assert.Contains(t, v.Sentence, "(and 2 other reasons)")
	list := v.List(Clock)
	require.Len(t, list, 3)
	assert.Equal(t, []string{"Lost last (3 reasons)", "Lost before that (1 reason)", "Harmless (1 reason)"}, []string{list[0].Title, list[1].Title, list[2].Title})
	events, gaps := list[0].Entries[0], list[0].Entries[1]
	assert.Equal(t, Entry{
		Text:   "500 events were lost: the kernel had no memory for a call; 30 of them last between 12:01:48 and 12:01:50.",
		Effect: "It means, as for those below that say nothing else: counts are too low by the commands in them; durations are those of the commands that were seen whole.",
		Remedy: "To do: give the host more memory.",
	}, events)
	assert.Equal(t, Entry{
		Text:   "7 gaps were found in the data of connections: nothing told the observer of the bytes; 2 of them last between 12:01:49 and 12:01:52.",
		Remedy: "To do: nothing else: it follows from what was lost above.",
	}, gaps)
	assert.Contains(t, list[0].Entries[2].Effect, "It means: counts are too low by the commands among them")

	alone := later + episodes(1) + lost(missing, 7, 109, 112, 7)
	w.Update(at(130), []*Sample{mustSample(t, "n", 130, alone)}, nil)
	v = w.View(all)
	assert.Contains(t, v.List(Clock)[0].Entries[0].Remedy, "see https://github.com/redis-observer/redis-observer/blob/main/docs/kernels.md", "no event was lost")
	early := later + episodes(1) + lost(storage, 1, 10, 20, 1) + lost(missing, 7, 109, 112, 7)
	w.Update(at(130), []*Sample{mustSample(t, "n", 130, early)}, nil)
	v = w.View(all)
	assert.Contains(t, v.List(Clock)[0].Entries[0].Remedy, "kernels.md", "long before")
}

// The time of commands that wait says nothing about the server.
func TestWaits(t *testing.T) {
	blocking := func(text string) string { return strings.ReplaceAll(text, `command="get"`, `command="blpop"`) }
	var w Watch
	w.Update(at(10), []*Sample{mustSample(t, "n", 10, blocking(earlier))}, nil)
	w.Update(at(20), []*Sample{mustSample(t, "n", 20, blocking(later))}, nil)
	lines := w.View(all).Lines
	assert.True(t, lines[0].Waits)
	assert.Zero(t, lines[0].Share)
	assert.False(t, lines[1].Waits)
	assert.Equal(t, 1.0, lines[1].Share)
}

func TestLabelsOfIdentities(t *testing.T) {
	s := mustSample(t, "n", 1, `redis_commands_total{name="a",pod="p-1",app="web",command="get",status="success"} 1`+"\n")
	var w Watch
	w.Update(at(1), []*Sample{mustSample(t, "n", 0, "")}, nil)
	w.Update(at(2), []*Sample{s}, nil)
	assert.Equal(t, "app=web, pod=p-1", w.View(all).Lines[0].Labels)
	assert.Empty(t, w.View(By{Name: true}).Lines[0].Labels)
}

// Nodes may have different bounds after a change of the configuration.
func TestDifferentBounds(t *testing.T) {
	a := []bucket{{0.001, 1}, {0.01, 5}, {1, 8}}
	b := []bucket{{0.01, 10}, {1, 20}}
	assert.Equal(t, []bucket{{0.01, 15}, {1, 28}}, combine(a, b, 1))
	assert.Equal(t, a, combine(nil, a, 1))
}
