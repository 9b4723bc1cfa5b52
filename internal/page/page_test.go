package page

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/report"
)

// metrics are those of an observer of which a test changes the counts.
type metrics struct {
	*prometheus.Registry
	commands *prometheus.CounterVec
	lost     *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		Registry: prometheus.NewRegistry(),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redis_commands_total"}, []string{"name", "command", "status"}),
		lost:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redis_observer_capture_lost_events_total"}, []string{"reason"}),
	}
	m.MustRegister(m.commands, m.lost)
	m.use("cache", "get", 1)
	m.lost.WithLabelValues("ring_full")
	return m
}

func (m *metrics) use(name, command string, n float64) {
	m.commands.WithLabelValues(name, command, "success").Add(n)
}

func noSlow() report.Slow { return report.Slow{Reason: "none are kept"} }

func noAddresses() report.Addresses { return report.Addresses{Reason: "not shown"} }

// age makes the next look begin an interval.
func age(h *Handler) { h.view.Time = h.view.Time.Add(-minInterval) }

func get(t *testing.T, serve http.HandlerFunc) (http.Header, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	serve(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusOK, recorder.Code)
	return recorder.Header(), recorder.Body.String()
}

// The page shows everything without JavaScript.
func TestPage(t *testing.T) {
	m := newMetrics()
	h := New(m.Gather, noSlow, noAddresses)
	_, body := get(t, h.ServeHTTP)
	assert.Contains(t, body, "Waiting for the end of the first interval")
	m.use("cache", "get", 99)
	m.use(`<script>alert("x")</script>`, "set", 1)
	age(h)
	header, body := get(t, h.ServeHTTP)
	assert.Contains(t, body, `<td class="text">cache</td>`)
	assert.Contains(t, body, `is exact.</p>`)
	assert.NotContains(t, body, "<script>alert", "a name is text")
	assert.Contains(t, body, `<noscript><meta http-equiv="refresh"`)
	assert.Equal(t, "no-store", header.Get("Cache-Control"))

	m.lost.WithLabelValues("ring_full").Add(214)
	age(h)
	_, body = get(t, h.ServeHTTP)
	const at = `<time datetime="[^"]+Z">\d\d:\d\d:\d\d</time>`
	assert.Regexp(t, `class="exact bad">Numbers are being lost now, since `+at+`, counts are too low: 214 events were lost: the observer&#39;s ring buffer was full; double capture.ring_size`, body)
}

// What was lost stays in sight, with the time, the meaning and the remedy of each, without JavaScript too.
func TestLosses(t *testing.T) {
	m := newMetrics()
	h := New(m.Gather, noSlow, noAddresses)
	_, body := get(t, h.ServeHTTP)
	assert.Regexp(t, `<details id="losses" hidden>`, body)
	m.lost.WithLabelValues("ring_full").Add(214)
	m.lost.WithLabelValues("no_storage").Add(3)
	age(h)
	get(t, h.ServeHTTP)
	const clock = `<time datetime="\S+Z">\d\d:\d\d:\d\d</time>`
	_, err := h.look(time.Now().Add(report.Quiet / 2))
	require.NoError(t, err)
	_, body = get(t, h.ServeHTTP)
	assert.Regexp(t, `class="exact warn">Numbers were lost (at|between `+clock+` and) `+clock+` \(none for \d+ s\), counts`, body, "not as if it went on")
	_, err = h.look(time.Now().Add(report.Quiet))
	require.NoError(t, err)
	_, body = get(t, h.ServeHTTP)
	assert.Regexp(t, `class="exact warn">Exact again since `+clock+`; numbers were lost (at|between) `, body)
	assert.Regexp(t, `<details id="losses">`, body)
	assert.Contains(t, body, `<p>Lost last (2 reasons)</p>`)
	assert.Regexp(t, `<li>214 events were lost: [^<]*; last (between `+clock+` and|at) `+clock+`\.<br>It means, [^<]*: counts are too low by the commands in them; [^<]*<br>To do: double capture.ring_size [^<]*</li>\n<li>3 events[^<]*<time[^\n]*</time>\.<br>To do: give the host`, body)
	_, data := get(t, h.ServeData)
	assert.Regexp(t, `"sentence":"Exact again since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ; numbers`, data)
	assert.Regexp(t, `"lost":\[{"title":"Lost last \(2 reasons\)","entries":\[{"text":"214 events were lost: [^"]*; last `, data)
	assert.Contains(t, data, `"losing":false`)
	assert.Contains(t, data, `"recent":true`)
	assert.Contains(t, data, `"effect":"counts are too low by the commands in them`)
}

// Nobody cuts the interval of others, however often somebody looks; after a while without anybody it is since the start.
func TestIntervals(t *testing.T) {
	m := newMetrics()
	began := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	started := prometheus.NewGauge(prometheus.GaugeOpts{Name: "process_start_time_seconds"})
	m.MustRegister(started)
	started.Set(float64(began.UnixMilli()) / 1e3)
	h := New(m.Gather, noSlow, noAddresses)
	seconds := func(after time.Duration) (seconds float64, whole bool) {
		s, err := h.look(began.Add(time.Hour + after))
		require.NoError(t, err)
		if len(s.Lines) > 0 {
			assert.InDelta(t, s.Lines[0].Count/s.Seconds, s.Lines[0].Rate, 1e-9)
		}
		return s.Seconds, s.Whole
	}
	length, whole := seconds(0)
	assert.True(t, whole)
	assert.InDelta(t, 3600, length, 0.01)
	for after := 500 * time.Millisecond; after < time.Minute; after += 500 * time.Millisecond { // four people
		length, whole = seconds(after)
		assert.False(t, whole && after >= minInterval)
		if after > 2*step {
			assert.GreaterOrEqual(t, length, step.Seconds())
			assert.LessOrEqual(t, length, 3*step.Seconds())
		}
	}
	for after := time.Minute; after < 2*time.Minute; after += step { // one without JavaScript
		length, whole = seconds(after)
		assert.False(t, whole)
		assert.LessOrEqual(t, length, 3*step.Seconds())
		assert.GreaterOrEqual(t, length, step.Seconds())
	}
	length, whole = seconds(10 * time.Minute)
	assert.True(t, whole, "not since somebody else looked")
	assert.InDelta(t, 4200, length, 0.01)
	_, body := get(t, h.ServeHTTP)
	assert.Regexp(t, `Since the start of the observer, 4200 seconds, until <time datetime="\S+Z">\d\d:\d\d:\d\d</time>`, body)
}

// Most of its commands are slow, or they are few: the page marks both.
func TestMarks(t *testing.T) {
	m := newMetrics()
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "redis_command_duration_seconds", Buckets: []float64{0.001, 0.01, 0.1}}, []string{"name", "command"})
	m.MustRegister(durations)
	h := New(m.Gather, noSlow, noAddresses)
	get(t, h.ServeHTTP)
	use := func(command string, n int, seconds float64) {
		m.use("cache", command, float64(n))
		for range n {
			durations.WithLabelValues("cache", command).Observe(seconds)
		}
	}
	use("eval", 30, 0.05)
	use("keys", 3, 0.005)
	use("get", 100, 0.0005)
	age(h)
	_, body := get(t, h.ServeHTTP)
	assert.Regexp(t, `>eval</td>.*<td class="wide slow">55.00ms</td>`, body)
	assert.Regexp(t, `>keys</td>.*<td class="wide few">~5.50ms</td>`, body)
	assert.Regexp(t, `>get</td>.*<td class="wide ">500µs</td>`, body)
}

// The policy allows the style and the script of the page by their hashes, and nothing else.
func TestPolicy(t *testing.T) {
	m := newMetrics()
	h := New(m.Gather, noSlow, noAddresses)
	header, body := get(t, h.ServeHTTP)
	policy := header.Get("Content-Security-Policy")
	assert.Contains(t, policy, "default-src 'none'; ")
	assert.NotContains(t, policy, "unsafe")
	for _, tag := range []string{"style", "script"} {
		assert.Contains(t, policy, tag+"-src '"+hashOf([]byte(body), tag)+"'")
		assert.Equal(t, 1, strings.Count(body, "<"+tag), "one element")
	}
	assert.NotContains(t, text, "//", "nothing is loaded from elsewhere")
	assert.NotContains(t, text, "style=", "a style that the policy refuses")
}

func TestData(t *testing.T) {
	m := newMetrics()
	h := New(m.Gather, noSlow, noAddresses)
	get(t, h.ServeData)
	m.use("cache", "get", 10)
	age(h)
	header, body := get(t, h.ServeData)
	assert.Equal(t, "application/json", header.Get("Content-Type"))
	var data struct {
		Exact bool
		Rate  float64
		Rows  []struct{ Name, Command string }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &data))
	assert.True(t, data.Exact)
	assert.Positive(t, data.Rate)
	assert.Equal(t, "cache", data.Rows[0].Name)
}

// Many people cost as little as one, and nobody costs nothing.
func TestSharedIntervals(t *testing.T) {
	m, gathered := newMetrics(), 0
	h := New(func() ([]*dto.MetricFamily, error) { gathered++; return m.Gather() }, noSlow, noAddresses)
	assert.Zero(t, gathered)
	for range 10 {
		get(t, h.ServeData)
		get(t, h.ServeHTTP)
	}
	assert.Equal(t, 1, gathered)
}

func TestRowsAreLimited(t *testing.T) {
	m := newMetrics()
	h := New(m.Gather, noSlow, noAddresses)
	get(t, h.ServeHTTP)
	for i := range maxRows + 5 {
		m.use("cache", strings.Repeat("x", i+1), 1)
	}
	age(h)
	_, body := get(t, h.ServeHTTP)
	assert.Contains(t, body, " 5 rows are not shown.")
	assert.Less(t, len(body), 1<<20)
}

func TestRates(t *testing.T) {
	for want, f := range map[string]float64{"0": 0, "<0.1": 0.02, "0.1": 0.1, "9.9": 9.9, "12": 12.3} {
		assert.Equal(t, want, rate(f))
	}
}

func TestWhoseClass(t *testing.T) {
	row := func(labels string) []report.Line { return []report.Line{{Key: report.Key{Labels: labels}}} }
	for labels, want := range map[string]string{"": "unlabeled", "pod=a": "", "pod=a, app=b": "many"} {
		w := whoseOf(row(labels), &report.Slow{})
		assert.Equal(t, want, w.Class(), labels)
	}
}

func TestFault(t *testing.T) {
	h := New(func() ([]*dto.MetricFamily, error) { return nil, errors.New("broken") }, noSlow, noAddresses)
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, http.StatusInternalServerError, recorder.Code)
	assert.Contains(t, recorder.Body.String(), "gather metrics: broken")
	_, err := h.look(time.Now())
	assert.Error(t, err)
}

// The slow commands are in the page, in its data and at a place of their own.
func TestSlow(t *testing.T) {
	v := report.Slow{Reason: "none are kept"}
	h := New(newMetrics().Gather, func() report.Slow { return v }, noAddresses)
	_, body := get(t, h.ServeHTTP)
	assert.Contains(t, body, `class="faint">None are kept.</p>`)
	assert.Regexp(t, `id="slow"[^>]* hidden>`, body)
	recorder := httptest.NewRecorder()
	h.ServeSlow(recorder, httptest.NewRequest(http.MethodGet, "/slow", nil))
	assert.Equal(t, http.StatusNotFound, recorder.Code)
	assert.Equal(t, "none are kept\n", recorder.Body.String())

	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	v = report.Slow{Threshold: 10 * time.Millisecond, Size: 2, Seen: 5, Since: noon, Groups: []report.SlowGroup{
		{Name: "cache", Command: "keys", Labels: "process_executable_name=report", Process: "report", Count: 281, Of: 290, First: noon, Last: noon.Add(time.Minute), Mean: 0.02, Longest: 0.43, Share: 0.97},
		{Name: "<b>", Command: "get", Process: "web", Count: 4, First: noon.Add(-24 * time.Hour), Last: noon, Mean: 0.02, Longest: 0.24, Share: 0.03, Behind: "keys"},
	}, Commands: []report.SlowCommand{
		{Name: "cache", Command: "keys", Seconds: 0.25, Outcome: "success", Count: 1, Position: 1, Length: 4, Local: "10.0.0.1:40000", Peer: "10.0.0.2:6379", Role: "client"},
		{Name: "<b>", Command: "get", Seconds: 0.24, Outcome: "error", Prefix: "WRONGTYPE", Count: 3, Position: 2, Length: 4, RequestBytes: 60, ResponseBytes: 15, Process: "web"},
	}}
	_, body = get(t, h.ServeHTTP)
	assert.Contains(t, body, `<td class="text">cache</td><td class="text">keys</td><td class="text whose"></td><td>250.00ms</td><td class="text">success</td><td class="wide">1/4</td><td class="wide">-/-</td><td class="text wide">10.0.0.2:6379</td><td class="text wide">10.0.0.1:40000</td>`)
	assert.Contains(t, body, `<td class="text">&lt;b&gt;</td><td class="text">get</td><td class="text whose">web</td><td>240.00ms</td><td class="text bad">error WRONGTYPE</td><td class="wide">2-4/4</td><td class="wide">60/15</td>`)
	assert.Regexp(t, `5 commands took 10ms or longer since <time datetime="\S+Z">12:00:00</time>; the slowest 4 are shown, in 2 rows`, body)
	assert.Regexp(t, `<td class="text">cache</td><td class="text">keys</td><td class="text whose">report</td><td>281 of 290</td><td><time datetime="\S+Z">12:00:00</time></td><td class="wide"><time datetime="\S+Z">12:01:00</time></td><td class="wide">430.00ms</td><td class="wide">20.00ms</td><td>97%</td><td class="text"></td>`, body)
	assert.Regexp(t, `<td class="text">&lt;b&gt;</td><td class="text">get</td><td class="text whose">web</td><td>4</td><td><time datetime="\S+Z">2026-02-28 12:00:00</time></td>`, body)
	assert.Contains(t, body, `<th scope="col" class="text whose">Process</th>`, "the name of the only label")
	assert.Less(t, strings.Index(body, ">281 of"), strings.Index(body, `id="commands"`), "at first look")
	assert.Less(t, strings.Index(body, `id="commands"`), strings.Index(body, "250.00ms"))
	assert.NotRegexp(t, `id="slow"[^>]* hidden>`, body)
	assert.Contains(t, body, `<td>3%</td><td class="text">keys</td>`)
	assert.Contains(t, body, `<p id="verdict" role="status" class="slow" hidden></p>`, "it is over")
	v.Groups[0].Cause = true
	_, body = get(t, h.ServeHTTP)
	assert.Regexp(t, `class="slow">Slow: cache keys of process report since [-\d ]*<time datetime="\S+Z">12:00:00</time>\. To do: `, body)
	assert.Contains(t, body, `<td>97%</td><td class="text">cause</td>`)
	assert.Less(t, strings.Index(body, `id="verdict"`), strings.Index(body, `id="exact"`))

	_, body = get(t, h.ServeSlow)
	var read report.Slow
	require.NoError(t, json.Unmarshal([]byte(body), &read))
	want, err := json.Marshal(v)
	require.NoError(t, err)
	assert.JSONEq(t, string(want), body)
	_, body = get(t, h.ServeData)
	var data struct {
		Slow  json.RawMessage
		Whose struct {
			Heading          string
			Groups, Commands []string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &data))
	assert.JSONEq(t, string(want), string(data.Slow))
	assert.Equal(t, "process", data.Whose.Heading)
	assert.Equal(t, []string{"report", "web"}, data.Whose.Groups)
	assert.Equal(t, []string{"", "web"}, data.Whose.Commands)
}

// The addresses are in the page, in its data and at a place of their own.
func TestAddresses(t *testing.T) {
	v := report.Addresses{Reason: "addresses are not served: open"}
	h := New(newMetrics().Gather, noSlow, func() report.Addresses { return v })
	_, body := get(t, h.ServeHTTP)
	assert.Contains(t, body, `class="faint">Addresses are not served: open.</p>`)
	assert.Regexp(t, `id="unnamed"[^>]* hidden>`, body)
	assert.Regexp(t, `id="named" hidden>`, body)
	recorder := httptest.NewRecorder()
	h.ServeAddresses(recorder, httptest.NewRequest(http.MethodGet, "/addresses", nil))
	assert.Equal(t, http.StatusNotFound, recorder.Code)
	assert.Equal(t, "addresses are not served: open\n", recorder.Body.String())

	v = report.Addresses{
		Named: []report.Named{
			{Name: "cache", Role: "client", Address: "cache:6379", Resolved: []string{"10.0.0.1", "10.0.0.2"}, More: 3},
			{Name: "<b>", Role: "server", Address: "gone:6379", Error: "no such host"},
		},
		Unnamed:      []report.Unnamed{{Address: "10.0.0.9:6379", Role: "client", Connections: 12, Executables: []string{"<i>", "web"}}},
		OtherUnnamed: 2, OtherConnections: 3,
	}
	_, body = get(t, h.ServeHTTP)
	assert.Contains(t, body, `<td class="text">10.0.0.9:6379</td><td class="text">client</td><td>12</td><td class="text">&lt;i&gt; web</td>`)
	assert.Contains(t, body, `<td class="text">cache</td><td class="text">client</td><td class="text">cache:6379</td><td class="text">10.0.0.1, 10.0.0.2 and 3 more</td>`)
	assert.Contains(t, body, `<td class="text">&lt;b&gt;</td><td class="text">server</td><td class="text">gone:6379</td><td class="text bad">lookup failed: no such host</td>`)
	assert.Contains(t, body, "15 connections to 3 addresses on observed ports have no name; an endpoint with the address gives one; the 1 with the most are shown")
	assert.NotRegexp(t, `id="unnamed"[^>]* hidden>`, body)
	assert.NotRegexp(t, `id="named" hidden>`, body)

	_, body = get(t, h.ServeAddresses)
	var read report.Addresses
	require.NoError(t, json.Unmarshal([]byte(body), &read))
	assert.Equal(t, v, read)
	_, body = get(t, h.ServeData)
	var data struct{ Addresses report.Addresses }
	require.NoError(t, json.Unmarshal([]byte(body), &data))
	assert.Equal(t, v, data.Addresses)
}
