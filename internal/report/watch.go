package report

import (
	"fmt"
	"slices"
	"time"
)

// Watch follows observers by their samples, and says how many commands there were in the last
// interval and whether the numbers are exact. It is not safe for concurrent use.
type Watch struct {
	last     map[string]*Sample
	failures map[string]error
	current  interval
	at       time.Time
	seconds  float64

	since time.Time      // every number since then is exact; zero before the first sample
	lost  []Loss         // what was lost before since, at the last time
	times map[cause]Loss // when each was lost last
}

// Recent is for how long a loss is in the foreground.
const Recent = 5 * time.Minute

// Update begins the next interval, which ends at a time with the samples of all observers, and the
// errors of those that have none.
func (w *Watch) Update(at time.Time, samples []*Sample, failures map[string]error) {
	if w.last == nil {
		w.last, w.times = map[string]*Sample{}, map[cause]Loss{}
	}
	w.current, w.failures, w.seconds = interval{}, failures, 0
	var lost []Loss
	for _, sample := range samples {
		before := w.last[sample.Node]
		w.note(before, sample)
		w.current.between(before, sample)
		if before == nil || sample.restarted(before) {
			w.begin(sample, &lost)
		} else {
			w.seconds = max(w.seconds, sample.At.Sub(before.At).Seconds())
		}
		w.last[sample.Node] = sample
	}
	if lost = append(lost, w.current.losses...); len(lost) > 0 {
		sortLosses(lost)
		w.lost, w.since = lost, at
	}
	w.at = at
}

// note records when an observer lost what a sample has more than the one before.
func (w *Watch) note(before, sample *Sample) {
	from := sample.Started
	if before != nil && !sample.restarted(before) {
		from = before.At
	} else {
		before = &Sample{}
	}
	for c, count := range sample.losses {
		if count > before.losses[c] {
			w.times[c] = Loss{From: from, At: sample.At}
		}
	}
}

// all returns what all observers have lost since their start.
func (w *Watch) all() []Loss {
	sum, list := map[cause]float64{}, []Loss{}
	for _, sample := range w.last {
		for c, count := range sample.losses {
			sum[c] += count
		}
	}
	for c, count := range sum {
		if at := w.times[c]; count > 0 {
			list = append(list, c.loss(count, at.From, at.At))
		}
	}
	sortLosses(list)
	return list
}

// begin records the first sample of an observer.
func (w *Watch) begin(sample *Sample, lost *[]Loss) {
	*lost = append(*lost, sample.lossesSinceStart()...)
	since := sample.Started
	if since.IsZero() { // where the system does not say it
		since = sample.At
	}
	if since.After(w.since) {
		w.since = since
	}
}

// View is the state of a Watch. Its JSON form is part of the interface of the program; durations are
// in seconds.
type View struct {
	Time      time.Time `json:"time"`
	Seconds   float64   `json:"seconds"` // length of the interval; 0 before its end
	Exact     bool      `json:"exact"`   // nothing was lost in the interval
	Since     time.Time `json:"exact_since"`
	Sentence  string    `json:"sentence"`   // whether the numbers are exact, and why not
	Recent    bool      `json:"recent"`     // something was lost in the last minutes, or before the first sample
	Losses    []Loss    `json:"losses"`     // those of the interval, otherwise the last ones
	All       []Loss    `json:"all_losses"` // of the observers since their start
	Observers []Node    `json:"nodes"`
	Lines     []Line    `json:"rows"`
}

// Node is the state of an observer.
type Node struct {
	Node    string    `json:"node"`
	Version string    `json:"version,omitempty"`
	Backend string    `json:"backend,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Error   string    `json:"error,omitempty"`
}

// View returns the state with the rows that by separates.
func (w *Watch) View(by By) View {
	v := View{
		Time: w.at, Seconds: w.seconds, Exact: len(w.lost) == 0 || w.since.Before(w.at), Since: w.since, Losses: w.lost, All: w.all(),
		Recent:    len(w.lost) > 0 && w.at.Sub(w.since) < Recent,
		Observers: w.nodes(), Lines: w.current.lines(by),
	}
	if v.Losses == nil {
		v.Losses = []Loss{}
	}
	if v.Lines == nil {
		v.Lines = []Line{}
	}
	v.Sentence = v.Tell(Clock)
	return v
}

// Tell says whether the numbers are exact, and why not. A clock prints the times.
func (v *View) Tell(clock func(time.Time) string) string {
	switch {
	case v.Since.IsZero():
		return "no observer has answered yet"
	case len(v.Losses) == 0:
		return fmt.Sprintf("every number since %s is exact", clock(v.Since))
	case !v.Exact:
		return "not exact " + v.lost(clock)
	case v.Recent:
		return fmt.Sprintf("exact again since %s, not exact %s", clock(v.Since), v.lost(clock))
	}
	return fmt.Sprintf("every number since %s is exact; not exact %s", clock(v.Since), v.lost(clock))
}

// lost says what was lost last, and when.
func (v *View) lost(clock func(time.Time) string) string {
	from, short := v.Losses[0].From, ""
	for _, loss := range v.Losses {
		if loss.From.Before(from) {
			from = loss.From
		}
		if loss.short != "" {
			short = ", " + loss.short
		}
	}
	if from.IsZero() { // where the system does not say when an observer started
		return fmt.Sprintf("before %s%s: %s", clock(v.Since), short, join(v.Losses))
	}
	return fmt.Sprintf("between %s and %s%s: %s", clock(from), clock(v.Since), short, join(v.Losses))
}

func join(losses []Loss) string {
	text := losses[0].String()
	switch more := len(losses) - 1; more {
	case 0:
	case 1:
		text += " (and 1 other reason)"
	default:
		text += fmt.Sprintf(" (and %d other reasons)", more)
	}
	return text
}

func (w *Watch) nodes() []Node {
	nodes := []Node{}
	for name, sample := range w.last {
		if w.failures[name] == nil {
			nodes = append(nodes, Node{Node: name, Version: sample.Version, Backend: sample.Backend, Started: sample.Started})
		}
	}
	for name, err := range w.failures {
		nodes = append(nodes, Node{Node: name, Error: err.Error()})
	}
	slices.SortFunc(nodes, func(a, b Node) int { return Key{Node: a.Node}.Compare(Key{Node: b.Node}) })
	return nodes
}
