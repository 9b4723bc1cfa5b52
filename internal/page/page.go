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
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/redis-observer/redis-observer/internal/report"
)

const (
	minInterval = 2 * time.Second // people who look at the same time share an interval
	maxRows     = 500             // on the page
	self        = "this observer"
)

//go:embed page.html
var text string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"rate": rate, "duration": duration, "percent": percent, "most": most, "iso": iso,
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
	Hidden    int  // rows that are left out
	Labeled   bool // a row has labels
	Rate      float64
	Errors    float64
	Node      report.Node
	Slow      report.Slow
	Addresses report.Addresses
}

// MarshalJSON returns the view, with the rows that the page shows.
func (s *shown) MarshalJSON() ([]byte, error) {
	v := s.View
	v.Lines = s.Lines
	return json.Marshal(struct {
		report.View
		Hidden    int              `json:"hidden"`
		Rate      float64          `json:"rate"`
		Errors    float64          `json:"errors"`
		Slow      report.Slow      `json:"slow"`
		Addresses report.Addresses `json:"addresses"`
	}{v, s.Hidden, s.Rate, s.Errors, s.Slow, s.Addresses})
}

// look returns what there is to show. It begins a new interval if the last one is old enough.
func (h *Handler) look(now time.Time) (*shown, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.view.Time) >= minInterval {
		families, err := h.gather()
		if err != nil {
			return nil, fmt.Errorf("gather metrics: %w", err)
		}
		h.watch.Update(now, []*report.Sample{report.NewSample(self, now, families)}, nil)
		h.view = h.watch.View(report.By{Name: true, Labels: true, Command: true})
	}
	s := show(h.view)
	s.Slow, s.Addresses = h.slow(), h.addresses()
	return s, nil
}

func show(v report.View) *shown {
	s := &shown{View: v, Lines: slices.Clone(v.Lines)}
	for _, line := range v.Lines {
		s.Rate, s.Errors = s.Rate+line.Rate, s.Errors+line.Errors
		s.Labeled = s.Labeled || line.Labels != ""
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
	if f > 0 && f < 10 {
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

func iso(t time.Time) string { return t.Format(time.RFC3339) }
