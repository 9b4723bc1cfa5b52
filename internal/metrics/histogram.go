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

// durations returns observers by identity and command label. Equal pairs share an observer.
type durations interface {
	prometheus.Collector
	of(s *identitySeries, command string) observer
	end(s *identitySeries, labels prometheus.Labels) // removes the observers of an identity; labels are those of the identity
}

// classic is a histogram with classic buckets. An observation of the library takes 40 ns, as long
// as pairing a command; this one takes a fifth of that, because bounds are integers and equal
// commands of a pipeline are one observation.
type classic struct {
	desc    *prometheus.Desc
	bounds  []int64   // upper bounds in nanoseconds
	seconds []float64 // the same bounds as exported

	mu       sync.Mutex // guards children
	children map[seriesKey]*histogram
}

var _ durations = (*classic)(nil)

func newClassic(name, help string, labels []string, buckets []float64) *classic {
	c := &classic{
		desc:     prometheus.NewDesc(name, help, labels, nil),
		seconds:  buckets,
		children: make(map[seriesKey]*histogram),
	}
	for _, bound := range buckets {
		c.bounds = append(c.bounds, int64(math.Round(bound*float64(time.Second))))
	}
	return c
}

func (c *classic) of(s *identitySeries, command string) observer {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := seriesKey{s.id, command}
	if c.children[key] == nil {
		c.children[key] = &histogram{values: with(s.values, command), bounds: c.bounds, counts: make([]atomic.Uint64, len(c.bounds)+1)}
	}
	return c.children[key]
}

func (c *classic) end(s *identitySeries, _ prometheus.Labels) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.children, func(key seriesKey, _ *histogram) bool { return key.id == s.id })
}

// Describe implements prometheus.Collector.
func (c *classic) Describe(descs chan<- *prometheus.Desc) { descs <- c.desc }

// Collect implements prometheus.Collector.
func (c *classic) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.children {
		count, cumulative := uint64(0), make(map[float64]uint64, len(c.seconds))
		// Read the sum first: a concurrent observation is then in the count only, so the average is
		// too low rather than too high.
		sum := time.Duration(h.sum.Load()).Seconds()
		for i := range h.counts {
			count += h.counts[i].Load()
			if i < len(c.seconds) {
				cumulative[c.seconds[i]] = count
			}
		}
		out <- prometheus.MustNewConstHistogram(c.desc, count, sum, cumulative, h.values...)
	}
}

// histogram counts durations by bucket.
type histogram struct {
	values []string // of the labels
	bounds []int64
	counts []atomic.Uint64 // per bucket, not cumulative; the last is +Inf
	sum    atomic.Int64    // nanoseconds
}

func (h *histogram) observe(duration int64, n uint32) {
	i := 0
	for i < len(h.bounds) && duration > h.bounds[i] {
		i++
	}
	h.counts[i].Add(uint64(n))
	h.sum.Add(duration * int64(n))
}

// native is a histogram of the library, with native buckets in addition.
type native struct {
	*prometheus.HistogramVec
}

var _ durations = native{}

func (n native) of(s *identitySeries, command string) observer {
	return nativeChild{n.WithLabelValues(with(s.values, command)...)}
}

func (n native) end(_ *identitySeries, labels prometheus.Labels) { n.DeletePartialMatch(labels) }

type nativeChild struct{ prometheus.Observer }

func (c nativeChild) observe(duration int64, n uint32) {
	for range n {
		c.Observe(time.Duration(duration).Seconds())
	}
}
