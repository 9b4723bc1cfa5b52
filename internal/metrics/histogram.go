package metrics

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// observer records durations, in nanoseconds, of n commands.
type observer interface {
	observe(duration int64, n uint32)
}

// durations returns observers by identity, command label and failure, each "" for none. Equal ones
// share an observer. Collect, for /metrics, sums over the failures.
type durations interface {
	prometheus.Collector
	of(s *identitySeries, command, failure string) observer
	end(s *identitySeries, labels prometheus.Labels) // removes the observers of an identity; labels are those of the identity
	byFailure() prometheus.Collector                 // the same with the label failureLabel
}

// failureLabel is the label of the durations by failure: an error prefix, or why no reply came.
const failureLabel = "error"

// classic is a histogram with classic buckets. An observation of the library takes 40 ns, as long
// as pairing a command; this one takes a fifth of that, because bounds are integers and equal
// commands of a pipeline are one observation.
type classic struct {
	desc      *prometheus.Desc
	byFailing *prometheus.Desc // with failureLabel
	bounds    []int64          // upper bounds in nanoseconds
	seconds   []float64        // the same bounds as exported

	mu       sync.Mutex // guards children
	children map[seriesKey]map[string]*histogram
}

var _ durations = (*classic)(nil)

func newClassic(name, help string, labels []string, buckets []float64) *classic {
	c := &classic{
		desc:      prometheus.NewDesc(name, help, labels, nil),
		byFailing: prometheus.NewDesc(name, help, with(labels, failureLabel), nil),
		seconds:   buckets,
		children:  make(map[seriesKey]map[string]*histogram),
	}
	for _, bound := range buckets {
		c.bounds = append(c.bounds, int64(math.Round(bound*float64(time.Second))))
	}
	return c
}

func (c *classic) of(s *identitySeries, command, failure string) observer {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := seriesKey{s.id, command}
	if c.children[key] == nil {
		c.children[key] = map[string]*histogram{}
	}
	if c.children[key][failure] == nil {
		c.children[key][failure] = &histogram{
			values: s.and(command), created: time.Now(), bounds: c.bounds, counts: make([]atomic.Uint64, len(c.bounds)+1),
		}
	}
	return c.children[key][failure]
}

func (c *classic) end(s *identitySeries, _ prometheus.Labels) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.children, func(key seriesKey, _ map[string]*histogram) bool { return key.id == s.id })
}

// Describe implements prometheus.Collector.
func (c *classic) Describe(descs chan<- *prometheus.Desc) { descs <- c.desc }

// Collect implements prometheus.Collector.
func (c *classic) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, outcomes := range c.children {
		var sum reading
		for _, h := range outcomes {
			sum.add(h)
		}
		out <- sum.metric(c.desc, c.seconds)
	}
}

func (c *classic) byFailure() prometheus.Collector { return classicByFailure{c} }

// classicByFailure collects a classic by failure.
type classicByFailure struct{ *classic }

// Describe implements prometheus.Collector.
func (c classicByFailure) Describe(descs chan<- *prometheus.Desc) { descs <- c.byFailing }

// Collect implements prometheus.Collector.
func (c classicByFailure) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, outcomes := range c.children {
		for failure, h := range outcomes {
			var one reading
			one.add(h)
			out <- one.metric(c.byFailing, c.seconds, failure)
		}
	}
}

// histogram counts durations by bucket.
type histogram struct {
	values  []string // of the labels
	created time.Time
	bounds  []int64
	counts  []atomic.Uint64 // per bucket, not cumulative; the last is +Inf
	sum     atomic.Int64    // nanoseconds
}

func (h *histogram) observe(duration int64, n uint32) {
	i := 0
	for i < len(h.bounds) && duration > h.bounds[i] {
		i++
	}
	h.counts[i].Add(uint64(n))
	h.sum.Add(duration * int64(n))
}

// reading is what was read of histograms with the same labels.
type reading struct {
	values  []string
	created time.Time
	counts  []uint64 // like those of a histogram
	sum     time.Duration
}

// add reads a histogram. It reads the sum first: a concurrent observation is then in the count only,
// so the average is too low rather than too high.
func (r *reading) add(h *histogram) {
	if r.counts == nil || h.created.Before(r.created) {
		r.created = h.created
	}
	if r.counts == nil {
		r.values, r.counts = h.values, make([]uint64, len(h.counts))
	}
	r.sum += time.Duration(h.sum.Load())
	for i := range h.counts {
		r.counts[i] += h.counts[i].Load()
	}
}

// metric returns what was read. further are the values of the labels behind those of the histogram.
func (r *reading) metric(desc *prometheus.Desc, bounds []float64, further ...string) prometheus.Metric {
	count, cumulative := uint64(0), make(map[float64]uint64, len(bounds))
	for i, n := range r.counts {
		count += n
		if i < len(bounds) {
			cumulative[bounds[i]] = count
		}
	}
	return prometheus.MustNewConstHistogramWithCreatedTimestamp(desc, count, r.sum.Seconds(), cumulative, r.created, with(r.values, further...)...)
}
