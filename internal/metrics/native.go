package metrics

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// newNative returns a histogram of the library, with native buckets in addition. By failure it has
// the label failureLabel, and then no histogram is ever reset: a sum with one that was could not be
// told from a reset of the whole. The resolution is halved instead.
func newNative(name, help string, labels []string, buckets []float64, byFailure bool) durations {
	options := prometheus.HistogramOpts{
		Name:                            name,
		Help:                            help,
		Buckets:                         buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160, // limits the memory of a series; beyond it the resolution is halved
		NativeHistogramMinResetDuration: time.Hour,
	}
	if !byFailure {
		return native{prometheus.NewHistogramVec(options, labels)}
	}
	options.NativeHistogramMinResetDuration = 0
	return summedNative{
		native: native{prometheus.NewHistogramVec(options, with(labels, failureLabel))},
		desc:   prometheus.NewDesc(name, help, labels, nil),
	}
}

// native is a histogram of the library. It knows no failures.
type native struct {
	*prometheus.HistogramVec
}

var _ durations = native{}

func (n native) of(s *identitySeries, command, _ string) observer {
	return nativeChild{n.WithLabelValues(s.and(command)...)}
}

func (n native) end(_ *identitySeries, labels prometheus.Labels) { n.DeletePartialMatch(labels) }

func (n native) byFailure() prometheus.Collector { return n.HistogramVec }

type nativeChild struct{ prometheus.Observer }

func (c nativeChild) observe(duration int64, n uint32) {
	for range n {
		c.Observe(time.Duration(duration).Seconds())
	}
}

// summedNative is a native by failure, which collects the sums over the failures.
type summedNative struct {
	native
	desc *prometheus.Desc
}

func (n summedNative) of(s *identitySeries, command, failure string) observer {
	return nativeChild{n.WithLabelValues(with(s.values, command, failure)...)}
}

// Describe implements prometheus.Collector.
func (n summedNative) Describe(descs chan<- *prometheus.Desc) { descs <- n.desc }

// Collect implements prometheus.Collector.
func (n summedNative) Collect(out chan<- prometheus.Metric) {
	parts := make(chan prometheus.Metric)
	go func() {
		n.HistogramVec.Collect(parts)
		close(parts)
	}()
	sums := map[string]*dto.Metric{}
	for part := range parts {
		var m dto.Metric
		if err := part.Write(&m); err != nil {
			out <- prometheus.NewInvalidMetric(n.desc, err)
			continue
		}
		m.Label = slices.DeleteFunc(slices.Clone(m.Label), func(l *dto.LabelPair) bool { return l.GetName() == failureLabel })
		key := keyOf(m.Label)
		if sums[key] == nil {
			sums[key] = &m
			continue
		}
		addNative(sums[key].Histogram, m.Histogram)
	}
	for _, sum := range sums {
		out <- written{n.desc, sum}
	}
}

// keyOf joins the values of labels with a byte that cannot occur in them.
func keyOf(labels []*dto.LabelPair) string {
	key := ""
	for _, label := range labels {
		key += label.GetValue() + "\xff"
	}
	return key
}

// written is a metric whose value is known.
type written struct {
	desc *prometheus.Desc
	*dto.Metric
}

// Desc implements prometheus.Metric.
func (w written) Desc() *prometheus.Desc { return w.desc }

// Write implements prometheus.Metric.
func (w written) Write(out *dto.Metric) error {
	out.Label, out.Histogram = w.Label, w.Histogram
	return nil
}

// addNative adds a histogram to another one with the same classic buckets. Native buckets have the
// coarser schema of the two. Durations are not negative.
func addNative(sum, h *dto.Histogram) {
	sum.SampleCount = proto.Uint64(sum.GetSampleCount() + h.GetSampleCount())
	sum.SampleSum = proto.Float64(sum.GetSampleSum() + h.GetSampleSum())
	for i, bucket := range h.Bucket {
		sum.Bucket[i].CumulativeCount = proto.Uint64(sum.Bucket[i].GetCumulativeCount() + bucket.GetCumulativeCount())
	}
	sum.ZeroCount = proto.Uint64(sum.GetZeroCount() + h.GetZeroCount())
	schema := min(sum.GetSchema(), h.GetSchema())
	counts := map[int32]int64{}
	addBuckets(counts, sum, schema)
	addBuckets(counts, h, schema)
	sum.Schema = proto.Int32(schema)
	sum.PositiveSpan, sum.PositiveDelta = encodeBuckets(counts)
	if h.CreatedTimestamp.AsTime().Before(sum.CreatedTimestamp.AsTime()) {
		sum.CreatedTimestamp = h.CreatedTimestamp
	}
	sum.Exemplars = nil
}

// addBuckets adds the native buckets of a histogram to counts, by their index in a schema that is
// not finer. Halving the resolution once joins the buckets 2i-1 and 2i to i.
func addBuckets(counts map[int32]int64, h *dto.Histogram, schema int32) {
	index, delta, count := int32(0), 0, int64(0)
	for _, span := range h.PositiveSpan {
		index += span.GetOffset()
		for range span.GetLength() {
			count += h.PositiveDelta[delta]
			at := index
			for range h.GetSchema() - schema {
				at = (at + 1) >> 1
			}
			counts[at] += count
			delta, index = delta+1, index+1
		}
	}
}

// encodeBuckets returns spans of consecutive buckets, and the difference of each bucket to the one
// before. A histogram without buckets has one empty span, by which it is known to be native.
func encodeBuckets(counts map[int32]int64) (spans []*dto.BucketSpan, deltas []int64) {
	next, before := int32(0), int64(0)
	for _, index := range slices.SortedFunc(maps.Keys(counts), cmp.Compare[int32]) {
		if len(spans) == 0 || index != next {
			spans = append(spans, &dto.BucketSpan{Offset: proto.Int32(index - next), Length: proto.Uint32(0)})
		}
		last := spans[len(spans)-1]
		last.Length = proto.Uint32(last.GetLength() + 1)
		deltas = append(deltas, counts[index]-before)
		next, before = index+1, counts[index]
	}
	if len(spans) == 0 {
		spans = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
	}
	return spans, deltas
}
