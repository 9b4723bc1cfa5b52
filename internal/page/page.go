package page

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/redis-observer/redis-observer/internal/report"
)

const (
	minInterval = 2 * time.Second  // people who look at the same time share what is gathered
	step        = 5 * time.Second  // between the beginnings of two intervals, each of which is one to three steps long
	idle        = 15 * time.Second // without anybody who looks, after which there is no beginning any more
	maxRows     = 500              // on the page
	self        = "this observer"
)

//go:embed page.html
var text string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"rate": rate, "duration": duration, "quantile": quantile, "percent": percent, "most": most, "stamp": stamp, "told": told, "title": report.Capital, "full": report.Full, "clock": report.Clock,
}).Parse(text))

// Handler serves the page and its data.
type Handler struct {
	gather    func() ([]*dto.MetricFamily, error)
	slow      func() report.Slow
	addresses func() report.Addresses
	policy    string

	mu    sync.Mutex // held while the metrics are gathered, so that many people cost as little as one
	watch report.Watch
	view  report.View
	begun [2]*report.Sample // beginnings of this interval and of the next one, whoever looked then
	whole bool              // the view is since the start, because nobody has looked for a while
}

// New returns a Handler of the metrics that gather returns, of the slow commands, and of the addresses.
func New(gather func() ([]*dto.MetricFamily, error), slow func() report.Slow, addresses func() report.Addresses) *Handler {
	h := &Handler{gather: gather, slow: slow, addresses: addresses}
	var empty bytes.Buffer
	if err := page.Execute(&empty, &shown{}); err != nil {
		panic(fmt.Sprintf("page: %v", err)) // the template is part of the program
	}
	h.policy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		hashOf(empty.Bytes(), "style"), hashOf(empty.Bytes(), "script"))
	return h
}

// hashOf returns the source expression that allows the element of the page with a tag.
func hashOf(page []byte, tag string) string {
	_, rest, _ := bytes.Cut(page, []byte("<"+tag+">"))
	content, _, _ := bytes.Cut(rest, []byte("</"+tag+">"))
	sum := sha256.Sum256(content)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// shown is the data of the page.
type shown struct {
	report.View
	Lines     []report.Line
	Hidden    int // rows that are left out
	Rate      float64
	Errors    float64
	Node      report.Node
	Slow      report.Slow
	Addresses report.Addresses
	Whole     bool // since the start
	Whose     whose
}

// whose is the column of further labels.
type whose struct {
	Heading  string   `json:"heading"`
	Rows     []string `json:"rows"`
	Groups   []string `json:"groups"`
	Commands []string `json:"commands"`
}

// whoseOf returns the cells of further labels, which are those of one column in three tables.
func whoseOf(rows []report.Line, slow *report.Slow) whose {
	all := make([]string, 0, len(rows)+len(slow.Groups)+len(slow.Commands))
	for i := range rows {
		all = append(all, rows[i].Labels)
	}
	for i := range slow.Groups {
		all = append(all, slow.Groups[i].Who())
	}
	for i := range slow.Commands {
		all = append(all, slow.Commands[i].Who())
	}
	heading, cells := report.Whose(all)
	first, second := len(rows), len(rows)+len(slow.Groups)
	return whose{heading, cells[:first:first], cells[first:second:second], cells[second:]}
}

// Told says whether the numbers are exact, with the marks of times.
func (s *shown) Told() string { return report.Full(s.Tell(mark)) }

// Lost returns what was lost since the start, with the marks of times.
func (s *shown) Lost() []report.Section { return s.List(mark) }

// Verdict says what is slow, with the marks of times; "" for nothing.
func (s *shown) Verdict() string { return report.Verdict(s.Slow.Groups, s.Time, mark) }

// Remedy says what to do about a cause.
func (s *shown) Remedy() string { return report.SlowRemedy }

// SlowTold says what the slow commands are, with the marks of times.
func (s *shown) SlowTold() string { return report.Full(s.Slow.Tell(mark)) }

// Class is that of a page with this column: hidden if no cell has anything, and broken into lines if
// the cells have several labels.
func (w *whose) Class() string {
	switch {
	case !slices.ContainsFunc(slices.Concat(w.Rows, w.Groups, w.Commands), func(cell string) bool { return cell != "" }):
		return "unlabeled"
	case w.Heading == "labels":
		return "many"
	}
	return ""
}

// MarshalJSON returns the view, with the rows that the page shows. Its sentences have marks of times.
func (s *shown) MarshalJSON() ([]byte, error) {
	v := s.View
	v.Lines, v.Sentence = s.Lines, s.Told()
	return json.Marshal(struct {
		report.View
		Hidden    int              `json:"hidden"`
		Rate      float64          `json:"rate"`
		Errors    float64          `json:"errors"`
		Whole     bool             `json:"whole"`
		Lost      []report.Section `json:"lost"`
		Verdict   string           `json:"verdict"`
		SlowTold  string           `json:"slow_told"`
		Slow      report.Slow      `json:"slow"`
		Addresses report.Addresses `json:"addresses"`
		Whose     whose            `json:"whose"`
	}{v, s.Hidden, s.Rate, s.Errors, s.Whole, s.Lost(), s.Verdict(), s.SlowTold(), s.Slow, s.Addresses, s.Whose})
}

// look returns what there is to show. It ends the interval anew if the view is old enough.
func (h *Handler) look(now time.Time) (*shown, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.view.Time) >= minInterval {
		families, err := h.gather()
		if err != nil {
			return nil, fmt.Errorf("gather metrics: %w", err)
		}
		by := report.By{Name: true, Labels: true, Command: true}
		sample := report.NewSample(self, now, families)
		begin := h.begin(sample)
		h.watch.Update(now, []*report.Sample{sample}, nil)
		h.view, h.whole = h.watch.View(by), begin == nil
		h.view.Lines, h.view.Seconds = report.Between(begin, sample, by)
	}
	s := show(h.view)
	s.Slow, s.Addresses, s.Whole = h.slow(), h.addresses(), h.whole
	s.Whose = whoseOf(s.Lines, &s.Slow)
	return s, nil
}

// begin returns the sample at which the interval begins that ends with another one; nil for the start.
// It is the same for all who look, and does not depend on how often they do.
func (h *Handler) begin(end *report.Sample) *report.Sample {
	if h.begun[1] == nil || end.At.Sub(h.view.Time) > idle {
		h.begun = [2]*report.Sample{end, end}
		return nil
	}
	begin := h.begun[0]
	if end.At.Sub(h.begun[1].At) >= step {
		h.begun = [2]*report.Sample{h.begun[1], end}
	}
	return begin
}

func show(v report.View) *shown {
	s := &shown{View: v, Lines: slices.Clone(v.Lines)}
	for _, line := range v.Lines {
		s.Rate, s.Errors = s.Rate+line.Rate, s.Errors+line.Errors
	}
	slices.SortStableFunc(s.Lines, func(a, b report.Line) int { return cmp.Compare(b.Share, a.Share) })
	s.Hidden = max(len(s.Lines)-maxRows, 0)
	s.Lines = s.Lines[:len(s.Lines)-s.Hidden]
	if len(v.Observers) > 0 {
		s.Node = v.Observers[0]
	}
	return s
}

// ServeHTTP serves the page.
func (h *Handler) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s, err := h.look(time.Now())
	var made bytes.Buffer
	if err == nil {
		err = page.Execute(&made, s)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", h.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	_, _ = w.Write(made.Bytes()) // the client has gone
}

// ServeData serves the data of the page as JSON.
func (h *Handler) ServeData(w http.ResponseWriter, _ *http.Request) {
	s, err := h.look(time.Now())
	var made []byte
	if err == nil {
		made, err = json.Marshal(s)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, made)
}

// ServeSlow serves the slow commands as JSON, or says why there are none.
func (h *Handler) ServeSlow(w http.ResponseWriter, _ *http.Request) {
	v := h.slow()
	serve(w, v, v.Reason)
}

// ServeAddresses serves the addresses as JSON, or says why they are not shown.
func (h *Handler) ServeAddresses(w http.ResponseWriter, _ *http.Request) {
	v := h.addresses()
	serve(w, v, v.Reason)
}

// serve serves a value as JSON, unless there is a reason why not.
func serve(w http.ResponseWriter, v json.Marshaler, reason string) {
	if reason != "" {
		http.Error(w, reason, http.StatusNotFound)
		return
	}
	made, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, made)
}

func writeJSON(w http.ResponseWriter, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // the client has gone
}

func rate(f float64) string {
	switch {
	case f > 0 && f < 0.05:
		return "<0.1"
	case f > 0 && f < 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

func duration(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return report.Short(d)
}

// quantile prints a quantile of a row, marked if it is one of few commands.
func quantile(l report.Line, d time.Duration) string {
	if d > 0 && l.Few() {
		return "~" + duration(d)
	}
	return duration(d)
}

func most(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return report.Bound(d)
}

func percent(l report.Line) string {
	if l.Waits {
		return "waits"
	}
	return fmt.Sprintf("%.1f%%", 100*l.Share)
}

// marks are the times in sentences: the script shows them in the zone of the browser.
var marks = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// mark prints a time as told finds it.
func mark(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// told prints a sentence with the times of day that are marked in it.
func told(sentence string) template.HTML {
	return template.HTML(marks.ReplaceAllStringFunc(template.HTMLEscapeString(sentence), func(text string) string {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return text // not of ours
		}
		return string(stamp(report.Clock(t), t))
	}))
}

// stamp prints an element for a time that is shown as a text.
func stamp(text string, t time.Time) template.HTML {
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, mark(t), template.HTMLEscapeString(text)))
}
