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
	assert.Contains(t, body, "waiting for the end of the first interval")
	m.use("cache", "get", 99)
	m.use(`<script>alert("x")</script>`, "set", 1)
	age(h)
	header, body := get(t, h.ServeHTTP)
	assert.Contains(t, body, `<td class="text">cache</td>`)
	assert.Contains(t, body, `is exact</p>`)
	assert.NotContains(t, body, "<script>alert", "a name is text")
	assert.Contains(t, body, `<noscript><meta http-equiv="refresh"`)
	assert.Equal(t, "no-store", header.Get("Cache-Control"))

	m.lost.WithLabelValues("ring_full").Add(214)
	age(h)
	_, body = get(t, h.ServeHTTP)
	assert.Contains(t, body, `class="exact bad">not exact at `)
	assert.Contains(t, body, "214 events were lost: the ring was full; raise capture.ring_size")
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
	assert.Contains(t, body, `class="faint">none are kept</p>`)
	assert.Regexp(t, `id="slow"[^>]* hidden>`, body)
	recorder := httptest.NewRecorder()
	h.ServeSlow(recorder, httptest.NewRequest(http.MethodGet, "/slow", nil))
	assert.Equal(t, http.StatusNotFound, recorder.Code)
	assert.Equal(t, "none are kept\n", recorder.Body.String())

	v = report.Slow{Threshold: 10 * time.Millisecond, Size: 2, Seen: 5, Commands: []report.SlowCommand{
		{Name: "cache", Command: "keys", Seconds: 0.25, Outcome: "success", Count: 1, Position: 1, Length: 4, Local: "10.0.0.1:40000", Peer: "10.0.0.2:6379", Role: "client"},
		{Name: "<b>", Command: "get", Seconds: 0.24, Outcome: "error", Prefix: "WRONGTYPE", Count: 3, Position: 2, Length: 4, RequestBytes: 60, ResponseBytes: 15, Process: "web"},
	}}
	_, body = get(t, h.ServeHTTP)
	assert.Contains(t, body, `<td class="text">cache</td><td class="text">keys</td><td>250.00ms</td><td class="text">success</td><td>1/4</td><td class="wide">-/-</td><td class="text">10.0.0.2:6379</td><td class="text wide">10.0.0.1:40000</td>`)
	assert.Contains(t, body, `<td class="text">&lt;b&gt;</td><td class="text">get</td><td>240.00ms</td><td class="text bad">error WRONGTYPE</td><td>2-4/4</td><td class="wide">60/15</td>`)
	assert.Contains(t, body, "5 commands took 10ms or longer; the slowest 4 are shown")
	assert.NotRegexp(t, `id="slow"[^>]* hidden>`, body)

	_, body = get(t, h.ServeSlow)
	var read report.Slow
	require.NoError(t, json.Unmarshal([]byte(body), &read))
	assert.Equal(t, v, read)
	_, body = get(t, h.ServeData)
	var data struct{ Slow report.Slow }
	require.NoError(t, json.Unmarshal([]byte(body), &data))
	assert.Equal(t, v, data.Slow)
}

// The addresses are in the page, in its data and at a place of their own.
func TestAddresses(t *testing.T) {
	v := report.Addresses{Reason: "addresses are not served: open"}
	h := New(newMetrics().Gather, noSlow, func() report.Addresses { return v })
	_, body := get(t, h.ServeHTTP)
	assert.Contains(t, body, `class="faint">addresses are not served: open</p>`)
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
	assert.Contains(t, body, "no endpoint has 15 connections on observed ports, to 3 addresses; the 1 with the most are shown")
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
