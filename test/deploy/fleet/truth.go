package main

import (
	"math"
	"slices"
	"sort"
	"strings"
	"time"
)

// window is that of the recording rules.
const window = 5 * time.Minute

// count is how often something happened on all nodes.
type count float64

// buckets is how many durations lie within each of some bounds, and beyond the last.
type buckets struct {
	bounds []float64 // seconds
	counts []count
}

func (b *buckets) add(seconds float64, n uint32) {
	b.counts[sort.SearchFloat64s(b.bounds, seconds)] += count(n)
}

// truth is what the generators counted, by the recorded series that has to show it: the sum over all nodes.
type truth struct {
	bounds  []float64
	counted map[string]*count
	timed   map[string]*buckets
	past    []moment
}

// moment is what had been counted at a time.
type moment struct {
	at     time.Time
	counts map[string]count
	timed  map[string][]count
}

// rememberEvery is the time between two moments. In between, the traffic is steady.
const rememberEvery = 5 * time.Second

// newTruth returns an empty truth. Its bounds are those of the histograms, so that a quantile of it is that of PromQL.
func newTruth(bounds []float64, native bool) *truth {
	if native {
		bounds = nil
		for i := -160; i <= 80; i++ { // schema 3, which the factor 1.1 gives: 1 µs to 1024 s
			bounds = append(bounds, math.Exp2(float64(i)/8))
		}
	}
	return &truth{bounds: bounds, counted: map[string]*count{}, timed: map[string]*buckets{}}
}

// key identifies a recorded series: its name, and labels with their values.
func key(name string, labels ...string) string {
	var pairs []string
	for pair := range slices.Chunk(labels, 2) {
		pairs = append(pairs, strings.Join(pair, "="))
	}
	slices.Sort(pairs)
	return name + "{" + strings.Join(pairs, ",") + "}"
}

func (t *truth) count(name string, labels ...string) *count {
	k := key(name, labels...)
	if t.counted[k] == nil {
		t.counted[k] = new(count)
	}
	return t.counted[k]
}

func (t *truth) buckets(name string, labels ...string) *buckets {
	k := key(name, labels...)
	if t.timed[k] == nil {
		t.timed[k] = &buckets{t.bounds, make([]count, len(t.bounds)+1)}
	}
	return t.timed[k]
}

// remember keeps what was counted up to now, for as long as the window reaches back.
func (t *truth) remember(now time.Time) {
	if len(t.past) > 0 && now.Sub(t.past[len(t.past)-1].at) < rememberEvery {
		return
	}
	m := moment{at: now, counts: make(map[string]count, len(t.counted)), timed: make(map[string][]count, len(t.timed))}
	for k, c := range t.counted {
		m.counts[k] = *c
	}
	for k, b := range t.timed {
		m.timed[k] = slices.Clone(b.counts)
	}
	t.past = append(t.past, m)
	if len(t.past) > 2 && now.Sub(t.past[1].at) > 2*window {
		t.past = t.past[1:]
	}
}

// since returns how much of a count was counted after a time, which of reads in a moment.
func (t *truth) since(at time.Time, last count, of func(moment) count) float64 {
	after := sort.Search(len(t.past), func(i int) bool { return t.past[i].at.After(at) })
	switch {
	case after == 0:
		return float64(last) // all of it
	case after == len(t.past):
		return float64(last - of(t.past[after-1]))
	}
	x, y := t.past[after-1], t.past[after]
	share := at.Sub(x.at).Seconds() / y.at.Sub(x.at).Seconds()
	return float64(last) - float64(of(x)) - share*float64(of(y)-of(x))
}

// counts returns how often something happened within the window that ended at a time, after which nothing happened.
func (t *truth) counts(k string, end time.Time) float64 {
	return t.since(end.Add(-window), *t.counted[k], func(m moment) count { return m.counts[k] })
}

// quantile returns a quantile of the durations of the window that ended at a time, with PromQL's interpolation.
func (t *truth) quantile(q float64, k string, end time.Time) float64 {
	b, sum := t.timed[k], 0.0
	within := make([]float64, len(b.counts))
	for i := range within {
		within[i] = t.since(end.Add(-window), b.counts[i], func(m moment) count { return m.timed[k][i] })
		sum += within[i]
	}
	rank, below := q*sum, 0.0
	for i, n := range within {
		if below+n >= rank && n > 0 {
			if i == len(b.bounds) {
				return b.bounds[i-1]
			}
			lower := 0.0
			if i > 0 {
				lower = b.bounds[i-1]
			}
			return lower + (b.bounds[i]-lower)*(rank-below)/n
		}
		below += n
	}
	return math.NaN()
}
