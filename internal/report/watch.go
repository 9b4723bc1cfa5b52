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

	since time.Time          // of the start of the observers; zero before the first sample
	spans map[nodeCause]span // when each was lost last
}

// nodeCause is a cause at an observer.
type nodeCause struct {
	node string
	cause
}

const (
	// Recent is for how long a loss is in the foreground.
	Recent = 5 * time.Minute
	// Quiet is for how long nothing must have been lost until numbers are exact again.
	Quiet = time.Minute
)

// Update begins the next interval, which ends at a time with the samples of all observers, and the
// errors of those that have none.
func (w *Watch) Update(at time.Time, samples []*Sample, failures map[string]error) {
	if w.last == nil {
		w.last, w.spans = map[string]*Sample{}, map[nodeCause]span{}
	}
	w.current, w.failures, w.seconds = interval{}, failures, 0
	for _, sample := range samples {
		before := w.last[sample.Node]
		w.note(before, sample)
		w.current.between(before, sample)
		if before == nil || sample.restarted(before) {
			w.begin(sample)
		} else {
			w.seconds = max(w.seconds, sample.At.Sub(before.At).Seconds())
		}
		w.last[sample.Node] = sample
	}
	w.at = at
}

// note records when an observer lost something: as it says itself, otherwise since the sample before.
func (w *Watch) note(before, sample *Sample) {
	from := sample.Started
	if before != nil && !sample.restarted(before) {
		from = before.At
	} else {
		before = &Sample{}
	}
	for c, count := range sample.losses {
		of := nodeCause{sample.Node, c}
		if in, said := sample.spans[c]; said {
			w.spans[of] = in
		} else if count > before.losses[c] {
			w.spans[of] = span{from, sample.At}
		}
	}
}

// all returns what all observers have lost since their start.
func (w *Watch) all() []Loss {
	sum, spans, list := map[cause]float64{}, map[cause]span{}, []Loss{}
	commands, events := 0.0, 0.0
	for node, sample := range w.last {
		commands, events = commands+sample.total, events+sample.events
		for c, count := range sample.losses {
			if count > 0 {
				sum[c] += count
				spans[c] = spans[c].with(w.spans[nodeCause{node, c}])
			}
		}
	}
	for c, count := range sum {
		share := 0.0
		switch whole := wholes[c.family]; {
		case whole == "the commands" && commands > 0:
			share = count / (count + commands)
		case whole == "all" && events > 0:
			share = count / (count + events)
		}
		list = append(list, c.loss(count, share, spans[c]))
	}
	sortLosses(list)
	return list
}

// with returns the last time in which something was lost, of two of which the first may be zero.
func (s span) with(other span) span {
	switch {
	case s.to.IsZero() || other.from.Sub(s.to) > Recent:
		return other
	case s.from.Sub(other.to) > Recent:
		return s
	}
	if other.from.Before(s.from) {
		s.from = other.from
	}
	return span{s.from, latest(s.to, other.to)}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// begin records the first sample of an observer.
func (w *Watch) begin(sample *Sample) {
	since := sample.Started
	if since.IsZero() { // where the system does not say it
		since = sample.At
	}
	w.since = latest(w.since, since)
}

// View is the state of a Watch. Its JSON form is part of the interface of the program; durations are
// in seconds.
type View struct {
	Time      time.Time `json:"time"`
	Seconds   float64   `json:"seconds"` // length of the interval; 0 before its end
	Exact     bool      `json:"exact"`   // nothing was lost in the last minute, but what is harmless
	Since     time.Time `json:"exact_since"`
	Sentence  string    `json:"sentence"`   // whether the numbers are exact, and why not
	Recent    bool      `json:"recent"`     // something was lost in the last minutes, but what is harmless
	Losses    []Loss    `json:"losses"`     // those of the last time in which something was lost, but the harmless ones
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
		Time: w.at, Seconds: w.seconds, Since: w.since, Losses: []Loss{}, All: w.all(),
		Observers: w.nodes(), Lines: w.current.lines(by),
	}
	var last time.Time
	for _, loss := range v.All {
		v.Since = latest(v.Since, loss.At)
		if !loss.Harmless {
			last = latest(last, loss.At)
		}
	}
	for _, loss := range v.All {
		if !loss.Harmless && last.Sub(loss.At) < Quiet {
			v.Losses = append(v.Losses, loss)
		}
	}
	v.Exact, v.Recent = w.at.Sub(last) >= Quiet, w.at.Sub(last) < Recent
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
		return fmt.Sprintf("every number since %s is exact%s", clock(v.Since), v.harmless(clock))
	case !v.Exact:
		return "numbers were lost " + v.lost(clock)
	case v.Recent:
		return fmt.Sprintf("exact again since %s, not exact %s", clock(v.Since), v.lost(clock))
	}
	return fmt.Sprintf("every number since %s is exact; not exact %s", clock(v.Since), v.lost(clock))
}

// harmless says what of the harmless was lost in the last minutes.
func (v *View) harmless(clock func(time.Time) string) string {
	for i := range v.All {
		if loss := &v.All[i]; v.Time.Sub(loss.At) < Recent {
			return fmt.Sprintf("; harmless, %s: %s", loss.When(clock), loss.Text)
		}
	}
	return ""
}

// lost says what was lost last, when, and how much.
func (v *View) lost(clock func(time.Time) string) string {
	from, to, short, share := v.Losses[0].From, v.Losses[0].At, "", 0.0
	for _, loss := range v.Losses {
		if loss.From.Before(from) {
			from = loss.From
		}
		to = latest(to, loss.At)
		if loss.short != "" {
			short, share = ", "+loss.short, max(share, loss.Share)
		}
	}
	if share > v.Losses[0].Share { // the first one does not say how much
		short += " by " + percent(share)
	}
	return fmt.Sprintf("%s%s: since the start %s", between(from, to, clock), short, join(v.Losses))
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
