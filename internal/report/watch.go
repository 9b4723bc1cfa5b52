package report

import (
	"cmp"
	"fmt"
	"maps"
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
	// Quiet is for how long nothing must have been lost until numbers are exact again: the pause that
	// ends an episode of losses, at the observer and here.
	Quiet = time.Minute
	// Ongoing is for how long after a loss it is said to go on. Observers note losses once a second.
	Ongoing = 5 * time.Second
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
		var in span
		if said := sample.spans[c]; said != nil {
			in = *said
		} else if grown := count - before.losses[c]; grown > 0 {
			in = span{from: from, to: sample.At, count: grown}
			if events := sample.events - before.events; c.family == "capture_lost_events" && events > 0 {
				in.ratio = grown / (grown + events)
			}
		}
		if !in.to.IsZero() {
			w.spans[of] = in
		}
	}
}

// lossSpans returns when each cause lost something last, at each observer.
func (w *Watch) lossSpans() (list []lossSpan) {
	for node, sample := range w.last {
		for c, count := range sample.losses {
			if of := (nodeCause{node, c}); count > 0 {
				list = append(list, lossSpan{of, w.spans[of]})
			}
		}
	}
	slices.SortFunc(list, func(a, b lossSpan) int { return cmp.Or(a.from.Compare(b.from), cmp.Compare(a.node, b.node)) })
	return list
}

// all returns what all observers have lost since their start, of which some is of the last episode.
func (w *Watch) all(spans []lossSpan, last map[cause]span) []Loss {
	sum, list := map[cause]float64{}, []Loss{}
	commands, events := 0.0, 0.0
	for _, sample := range w.last {
		commands, events = commands+sample.total, events+sample.events
		for c, count := range sample.losses {
			sum[c] += count
		}
	}
	each := sums(spans, span.with)
	maps.Copy(each, last)
	for c, in := range each {
		share, count, whole := 0.0, sum[c], wholes[c.family]
		switch {
		case whole == "the commands" && commands > 0:
			share = count / (count + commands)
		case whole == "all" && events > 0:
			share = count / (count + events)
		}
		list = append(list, c.loss(count, share, whole, in))
	}
	sortLosses(list)
	return list
}

// lastLosses returns what was lost in the last episode.
func lastLosses(last map[cause]span) []Loss {
	list := []Loss{}
	for c, in := range last {
		list = append(list, c.loss(in.count, in.ratio, "all at that time", in))
	}
	sortLosses(list)
	return list
}

// lossy returns the observers that have lost something, but what is harmless, and in how many
// episodes; 0 if one of them does not say it.
func (w *Watch) lossy(spans []lossSpan) (nodes []string, episodes int) {
	known := true
	for _, s := range spans {
		if s.harmless() || slices.Contains(nodes, s.node) {
			continue
		}
		said := w.last[s.node].episodes
		nodes, episodes, known = append(nodes, s.node), episodes+int(said), known && said > 0
	}
	if !known {
		episodes = 0
	}
	return nodes, episodes
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
	Losing    bool      `json:"losing"`  // something was lost in the last seconds, but what is harmless
	Since     time.Time `json:"exact_since"`
	Sentence  string    `json:"sentence"`   // whether the numbers are exact, and why not
	Recent    bool      `json:"recent"`     // something was lost in the last minutes, but what is harmless
	Episodes  int       `json:"episodes"`   // in which something was lost at an observer since its start, but what is harmless; 0 if it is not known
	Losses    []Loss    `json:"losses"`     // those of the last episode, but the harmless ones
	All       []Loss    `json:"all_losses"` // of the observers since their start
	Observers []Node    `json:"nodes"`
	Lines     []Line    `json:"rows"`

	lossy []string // observers that have lost something, but what is harmless
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
	spans := w.lossSpans()
	last := sums(lastEpisode(spans), span.and)
	v := View{
		Time: w.at, Seconds: w.seconds, Since: w.since, Losses: lastLosses(last), All: w.all(spans, last),
		Observers: w.nodes(), Lines: w.current.lines(by),
	}
	v.lossy, v.Episodes = w.lossy(spans)
	var end time.Time
	for _, loss := range v.All {
		v.Since = latest(v.Since, loss.At)
		if !loss.Harmless {
			end = latest(end, loss.At)
		}
	}
	age := w.at.Sub(end)
	v.Exact, v.Recent, v.Losing = age >= Quiet, age < Recent, age < Ongoing
	if v.Lines == nil {
		v.Lines = []Line{}
	}
	v.Sentence = v.Tell(Clock)
	return v
}

// Tell says whether the numbers are exact, and why not. A clock prints the times.
func (v *View) Tell(clock func(time.Time) string) string {
	clock = dated(clock, v.Time)
	switch {
	case v.Since.IsZero():
		return "no observer has answered yet"
	case len(v.Losses) == 0:
		return fmt.Sprintf("every number since %s is exact%s", clock(v.Since), v.harmless(clock))
	case !v.Exact:
		return v.lost(clock)
	case v.Recent:
		return fmt.Sprintf("exact again since %s; %s", clock(v.Since), v.lost(clock))
	}
	return fmt.Sprintf("every number since %s is exact; %s", clock(v.Since), v.lost(clock))
}

// harmless says what of the harmless was lost in the last minutes.
func (v *View) harmless(clock func(time.Time) string) string {
	for i := range v.All {
		if loss := &v.All[i]; v.Time.Sub(loss.At) < Recent {
			return fmt.Sprintf("; harmless, %s: %s", between(loss.From, loss.At, clock), loss.Text)
		}
	}
	return ""
}

// episode returns the begin and the end of the last episode.
func (v *View) episode() (from, to time.Time) {
	from, to = v.Losses[0].From, v.Losses[0].At
	for _, loss := range v.Losses {
		if loss.From.Before(from) {
			from = loss.From
		}
		to = latest(to, loss.At)
	}
	return from, to
}

// lost says what was lost in the last episode, when, how much, and how often that was.
func (v *View) lost(clock func(time.Time) string) string {
	from, to := v.episode()
	text := "numbers were lost"
	if v.Losing {
		text = "numbers are being lost now"
	}
	if len(v.Observers) > 1 {
		if len(v.lossy) == 1 {
			text += " on " + v.lossy[0]
		} else {
			text += fmt.Sprintf(" on %d of %d nodes", len(v.lossy), len(v.Observers))
		}
	}
	switch {
	case v.Losing:
		text += ", since " + clock(from)
		if v.Episodes > 1 {
			text += fmt.Sprintf(" and %s before", plural(v.Episodes-1, "time", "times"))
		}
	case v.Episodes > 1:
		text += fmt.Sprintf(" %d times, last %s", v.Episodes, between(from, to, clock))
	default:
		text += " " + between(from, to, clock)
	}
	if !v.Losing && !v.Exact {
		text += fmt.Sprintf(" (none for %.0f s)", v.Time.Sub(to).Seconds())
	}
	short, share := "", 0.0
	for _, loss := range v.Losses {
		if loss.short != "" {
			short, share = ", "+loss.short, max(share, loss.Share)
		}
	}
	if share > v.Losses[0].Share { // the first one does not say how much
		short += " by " + percent(share)
	}
	return fmt.Sprintf("%s%s: %s", text, short, join(v.Losses))
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
