package report

import (
	"encoding/json"
	"errors"
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
	const why = " by less than 0.1 %: since the start 214 events were lost: the observer's ring buffer was full; double capture.ring_size in its configuration and restart it, or give it more CPU (and 1 other reason)"
	assert.Equal(t, "numbers were lost between 12:00:10 and 12:00:20, counts are too low"+why, v.Sentence)
	unpaired := "1 request or reply (less than 0.1 % of the commands) was left without the other: the observer did not get all bytes of the connection; see the lost events and the gaps"
	assert.Equal(t, unpaired, v.Losses[1].String())
	w.Update(at(79), []*Sample{mustSample(t, "n", 79, lossy)}, nil)
	assert.False(t, w.View(all).Exact, "a minute must pass without a loss")
	w.Update(at(80), []*Sample{mustSample(t, "n", 80, lossy)}, nil)
	v = w.View(all)
	assert.True(t, v.Exact)
	assert.True(t, v.Recent)
	assert.Equal(t, "exact again since 12:00:20, not exact between 12:00:10 and 12:00:20, counts are too low"+why, v.Sentence)
	w.Update(at(20+Recent.Seconds()), []*Sample{mustSample(t, "n", 20+Recent.Seconds(), lossy)}, nil)
	v = w.View(all)
	assert.False(t, v.Recent)
	assert.Equal(t, "every number since 12:00:20 is exact; not exact between 12:00:10 and 12:00:20, counts are too low"+why, v.Sentence)
	require.Len(t, v.All, 2)
	assert.Equal(t, unpaired, v.All[1].String())
	assert.Equal(t, []time.Time{at(10), at(20)}, []time.Time{v.All[0].From, v.All[0].At})
	assert.Contains(t, v.All[0].Effect, "counts are too low by the commands in them")

	// Another reason is the last one; the list has both.
	more := lossy + `redis_observer_unanswered_commands_total{name="a",reason="client_closed"} 2` + "\n"
	w.Update(at(400), []*Sample{mustSample(t, "n", 400, more)}, nil)
	v = w.View(all)
	assert.Equal(t, "numbers were lost between 12:05:20 and 12:06:40: since the start 2 commands (about 0.2 % of the commands) were given up by the client", v.Sentence, "no count is too low")
	require.Len(t, v.All, 3)
	assert.Equal(t, 214.0, v.All[0].Count)

	// The reason comes first, and what follows from it after it, however much it is.
	much := strings.Replace(more, `reason="gap"} 1`, `reason="gap"} 5000`, 1)
	much = strings.Replace(much, `reason="ring_full"} 214`, `reason="ring_full"} 220`, 1)
	w.Update(at(410), []*Sample{mustSample(t, "n", 410, much)}, nil)
	assert.Contains(t, w.View(all).Sentence, "by about 81 %: since the start 220 events were lost: the observer's ring buffer was full; double")
	v = w.View(all)
	assert.Equal(t, []float64{220, 2, 5000}, []float64{v.All[0].Count, v.All[1].Count, v.All[2].Count})
	assert.Equal(t, []time.Time{at(320), at(400)}, []time.Time{v.All[1].From, v.All[1].At})

	// What was lost before the first scrape is said too: nobody knows when it was.
	var second Watch
	second.Update(at(30), []*Sample{mustSample(t, "n", 30, lossy)}, nil)
	second.Update(at(90), []*Sample{mustSample(t, "n", 90, lossy)}, nil)
	assert.Equal(t, "exact again since 12:00:30, not exact between 12:00:00 and 12:00:30, counts are too low"+why, second.View(all).Sentence)
}

// An observer says itself when something was lost: whoever looks when is told the same.
func TestTimesOfLosses(t *testing.T) {
	said := func(counter, reason string, begin, end float64) string {
		of := `redis_observer_last_loss_timestamp_seconds{counter="` + counter + `",reason="` + reason + `",edge="`
		return of + `begin"} ` + startText(at(begin)) + "\n" + of + `end"} ` + startText(at(end)) + "\n"
	}
	lossy := later + "redis_observer_capture_events_total 1800\n" + said("capture_lost_events", "ring_full", 11, 15) + said("gaps", "missing", 11, 17) +
		`redis_observer_gaps_total{reason="missing",effect="broken"} 3` + "\n"
	lossy = strings.Replace(lossy, `{reason="ring_full"} 0`, `{reason="ring_full"} 200`, 1)
	const want = "numbers were lost between 12:00:11 and 12:00:17, counts are too low: since the start 200 events (about 10 % of all) were lost: "
	var often, once Watch
	for _, after := range []float64{12, 14, 30} {
		often.Update(at(after), []*Sample{mustSample(t, "n", after, lossy)}, nil)
	}
	once.Update(at(30), []*Sample{mustSample(t, "n", 30, lossy)}, nil)
	assert.Contains(t, often.View(all).Sentence, want)
	assert.Equal(t, often.View(all).Sentence, once.View(all).Sentence)

	// What is harmless does not make numbers wrong.
	harmless := later + said("unpaired_commands", "mid_stream", 12, 12) + `redis_observer_unpaired_commands_total{name="a",reason="mid_stream"} 2` + "\n"
	var quiet Watch
	quiet.Update(at(30), []*Sample{mustSample(t, "n", 30, harmless)}, nil)
	v := quiet.View(all)
	assert.True(t, v.Exact)
	assert.False(t, v.Recent)
	assert.Equal(t, "every number since 12:00:12 is exact; harmless, at 12:00:12: 2 requests or replies (about 0.2 % of the commands) were left without the other: the connection is older than the observer", v.Sentence)
	both := strings.Replace(lossy+harmless[len(later):], `reason="mid_stream"} 2`, `reason="mid_stream"} 2000`, 1)
	quiet.Update(at(31), []*Sample{mustSample(t, "n", 31, both)}, nil)
	v = quiet.View(all)
	assert.Contains(t, v.Sentence, want)
	require.Len(t, v.All, 3)
	assert.True(t, v.All[2].Harmless, "it comes last, however much it is")
	assert.Len(t, v.Losses, 2)
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
