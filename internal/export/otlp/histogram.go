package otlp

import (
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// histogram converts a family of histograms: to exponential ones if they have native buckets, or
// else to the buckets that they have.
func (p *producer) histogram(family *dto.MetricFamily, as named, now time.Time) metricdata.Aggregation {
	metrics := family.GetMetric()
	if len(metrics) > 0 && metrics[0].GetHistogram().Schema != nil {
		exponential := metricdata.ExponentialHistogram[float64]{Temporality: metricdata.CumulativeTemporality}
		for _, m := range metrics {
			h := m.GetHistogram()
			exponential.DataPoints = append(exponential.DataPoints, metricdata.ExponentialHistogramDataPoint[float64]{
				Attributes: as.attributes(m.GetLabel()), StartTime: p.start(h), Time: now,
				Count: h.GetSampleCount(), Sum: h.GetSampleSum(),
				Scale: h.GetSchema(), ZeroCount: h.GetZeroCount(), ZeroThreshold: h.GetZeroThreshold(),
				PositiveBucket: dense(h.GetPositiveSpan(), h.GetPositiveDelta()),
				NegativeBucket: dense(h.GetNegativeSpan(), h.GetNegativeDelta()),
			})
		}
		return exponential
	}
	explicit := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
	for _, m := range metrics {
		h := m.GetHistogram()
		point := metricdata.HistogramDataPoint[float64]{
			Attributes: as.attributes(m.GetLabel()), StartTime: p.start(h), Time: now,
			Count: h.GetSampleCount(), Sum: h.GetSampleSum(),
		}
		before := uint64(0)
		for _, bucket := range h.GetBucket() {
			if math.IsInf(bucket.GetUpperBound(), 1) {
				break
			}
			point.Bounds = append(point.Bounds, bucket.GetUpperBound())
			point.BucketCounts = append(point.BucketCounts, bucket.GetCumulativeCount()-before)
			before = bucket.GetCumulativeCount()
		}
		point.BucketCounts = append(point.BucketCounts, h.GetSampleCount()-before)
		explicit.DataPoints = append(explicit.DataPoints, point)
	}
	return explicit
}

// dense returns native buckets without holes. A native bucket i ends at the power i of the base,
// an exponential one begins there. The buckets of a recorder are bounded in number, and durations in
// their range, so holes are too.
func dense(spans []*dto.BucketSpan, deltas []int64) metricdata.ExponentialBucket {
	var bucket metricdata.ExponentialBucket
	index, delta, count := int32(0), 0, int64(0)
	for _, span := range spans {
		index += span.GetOffset()
		for range span.GetLength() {
			count += deltas[delta]
			if len(bucket.Counts) == 0 {
				bucket.Offset = index - 1
			}
			for int(bucket.Offset)+len(bucket.Counts) < int(index)-1 {
				bucket.Counts = append(bucket.Counts, 0)
			}
			bucket.Counts = append(bucket.Counts, uint64(count))
			delta, index = delta+1, index+1
		}
	}
	return bucket
}
