package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// slack is what a recorded value may differ by beside what rate() extrapolates: traffic comes once a second, so that the window
// may begin a tick earlier or later than the moments that are compared.
const slack = 0.02

// bounds returns what a rate over the window may be by which n was counted, within the time since the first tick. rate() may
// extrapolate from the last scrape to the end of the window, by 1.1 scrape intervals at most; before the first scrape it
// extrapolates nothing, because counters begin at 0 or the window begins within steady traffic.
func bounds(n float64, o options) (low, high float64) {
	rate := n / window.Seconds()
	return rate * (1 - slack), rate * (1 + slack + extrapolated(o))
}

// extrapolated is the share that rate() may add.
func extrapolated(o options) float64 {
	return 1.1 * o.interval.Seconds() / min(o.duration, window).Seconds()
}

// check compares what the rules have recorded with what was counted, and returns what differs and how much was compared.
func check(o options, p *prometheus, f *fleet, panels []panel, rules map[string]string) (faults []error, compared int, err error) {
	for _, rule := range slices.Sorted(maps.Keys(rules)) {
		keys := f.truth.keys(rule)
		if len(keys) == 0 {
			continue // the buckets that the quantiles are made of
		}
		recorded, err := p.stored(fmt.Sprintf("%s[%s]", rule, duration(2*o.interval)))
		if err != nil {
			return nil, 0, err
		}
		found := map[string]model.SamplePair{}
		for _, s := range recorded {
			found[keyOf(s.Metric)] = s.Values[len(s.Values)-1]
		}
		for _, k := range keys {
			compared++
			got, ok := found[k]
			low, high := f.truth.expected(k, got.Timestamp.Time(), o)
			if value := float64(got.Value); !ok || !(value >= low && value <= high) {
				faults = append(faults, fmt.Errorf("%s is %g (recorded: %t), not within %g and %g", k, value, ok, low, high))
			}
			delete(found, k)
		}
		for k := range found {
			faults = append(faults, fmt.Errorf("%s is recorded, and nothing of it was counted", k))
		}
	}
	first, n, err := checkFirstRow(o, p, panels, rules)
	faults, compared = append(faults, first...), compared+n
	if err != nil {
		return faults, compared, err
	}
	slow, err := p.vector("topk(1, instance:redis_command_duration_seconds:p99)", time.Time{})
	if err != nil {
		return faults, compared, err
	}
	compared++
	if want := f.nodes[slowNode].server.Address(); len(slow) != 1 || string(slow[0].Metric["instance"]) != want {
		faults = append(faults, fmt.Errorf("the slowest node is %v, not %s", slow, want))
	}
	return faults, compared, nil
}

// checkFirstRow compares the panels of the first row with the same without the rules.
func checkFirstRow(o options, p *prometheus, panels []panel, rules map[string]string) (faults []error, compared int, err error) {
	now := time.Now()
	for _, panel := range panels {
		if panel.row != 1 {
			continue
		}
		for _, target := range panel.Targets {
			expression := filled(target.Expr, o, o.duration)
			raw, err := inlined(expression, rules)
			if err != nil {
				return nil, 0, err
			}
			with, err := p.vector(expression, now)
			if err != nil {
				return nil, 0, err
			}
			without, err := p.vector(raw, now)
			if err != nil {
				return nil, 0, err
			}
			values := map[string]float64{}
			for _, s := range without {
				values[keyOf(s.Metric)] = float64(s.Value)
			}
			if len(with) == 0 || len(with) != len(without) {
				faults = append(faults, fmt.Errorf("%s: %d results, without the rules %d", panel.Title, len(with), len(without)))
			}
			// Both are extrapolated, to different moments within the same interval of scrapes and evaluations.
			most := slack + extrapolated(o)
			for _, s := range with {
				compared++
				if want := values[keyOf(s.Metric)]; !(math.Abs(float64(s.Value)/want-1) <= most) {
					faults = append(faults, fmt.Errorf("%s: %s is %v, without the rules %g", panel.Title, keyOf(s.Metric), s.Value, want))
				}
			}
		}
	}
	return faults, compared, nil
}

// keyOf returns the key of a series.
func keyOf(metric model.Metric) string {
	var pairs []string
	for label, value := range metric {
		if label != model.MetricNameLabel {
			pairs = append(pairs, string(label), string(value))
		}
	}
	return key(string(metric[model.MetricNameLabel]), pairs...)
}

// keys returns the series of a rule that something was counted of.
func (t *truth) keys(rule string) []string {
	var found []string
	for _, k := range append(slices.Collect(maps.Keys(t.counted)), slices.Collect(maps.Keys(t.timed))...) {
		if strings.HasPrefix(k, rule+"{") {
			found = append(found, k)
		}
	}
	slices.Sort(found)
	return found
}

// expected returns the bounds of a recorded value that was evaluated at a time.
func (t *truth) expected(k string, at time.Time, o options) (low, high float64) {
	switch {
	case t.timed[k] != nil:
		// What is added differs between nodes, and with it the weight of a slow one.
		more := 1 + extrapolated(o)
		return t.quantile(1-0.01*more, k, at) * (1 - slack), t.quantile(1-0.01/more, k, at) * (1 + slack)
	case strings.HasPrefix(k, "name_state:"):
		n := float64(*t.counted[k]) // a gauge
		return n, n
	default:
		return bounds(t.counts(k, at), o)
	}
}
