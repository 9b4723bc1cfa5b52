package otlp

import (
	"context"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// producer converts families to metrics. It keeps nothing between two calls.
type producer struct {
	options *Options
	scope   instrumentation.Scope
	began   time.Time // start of series that do not know their own
}

var _ metric.Producer = (*producer)(nil)

func newProducer(options *Options) *producer {
	p := &producer{
		options: options,
		scope:   instrumentation.Scope{Name: "github.com/redis-observer/redis-observer", Version: options.Version},
		began:   time.Now(),
	}
	if options.Semconv != nil {
		p.scope.SchemaURL = semconv.SchemaURL
	}
	return p
}

// Produce implements metric.Producer. A family that cannot be gathered does not keep the others from
// being exported.
func (p *producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	families, err := p.options.Gather()
	if err != nil {
		p.options.Logger.Warn("some metrics cannot be exported", "error", err)
	}
	name := plain
	if s := p.options.Semconv; s != nil {
		name = s.name
	}
	metrics := make([]metricdata.Metrics, 0, len(families))
	for _, family := range families {
		if converted, ok := p.convert(family, name(family)); ok {
			metrics = append(metrics, converted)
		}
	}
	return []metricdata.ScopeMetrics{{Scope: p.scope, Metrics: metrics}}, nil
}

// named is how a family is exported.
type named struct {
	name, unit string
	attributes func([]*dto.LabelPair) attribute.Set
	updown     bool // a gauge whose values can be added
}

// plain keeps the name of a family and its labels.
func plain(family *dto.MetricFamily) named {
	return named{name: family.GetName(), unit: unitOf(family.GetName()), attributes: func(labels []*dto.LabelPair) attribute.Set {
		attributes := make([]attribute.KeyValue, 0, len(labels))
		for _, label := range labels {
			attributes = append(attributes, attribute.String(label.GetName(), label.GetValue()))
		}
		return attribute.NewSet(attributes...)
	}}
}

// unitOf returns the unit that the name of a family ends with.
func unitOf(name string) string {
	name = strings.TrimSuffix(name, "_total")
	switch {
	case strings.HasSuffix(name, "_seconds"):
		return "s"
	case strings.HasSuffix(name, "_bytes"):
		return "By"
	}
	return ""
}

// convert converts a family. All numbers are cumulative.
func (p *producer) convert(family *dto.MetricFamily, as named) (metricdata.Metrics, bool) {
	now := time.Now()
	metrics := metricdata.Metrics{Name: as.name, Description: family.GetHelp(), Unit: as.unit}
	switch family.GetType() {
	case dto.MetricType_COUNTER:
		sum := metricdata.Sum[float64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
		for _, m := range family.GetMetric() {
			sum.DataPoints = append(sum.DataPoints, metricdata.DataPoint[float64]{
				Attributes: as.attributes(m.GetLabel()), StartTime: p.start(m.GetCounter()), Time: now, Value: m.GetCounter().GetValue(),
			})
		}
		metrics.Data = sum
	case dto.MetricType_GAUGE, dto.MetricType_UNTYPED:
		points := make([]metricdata.DataPoint[float64], 0, len(family.GetMetric()))
		for _, m := range family.GetMetric() {
			points = append(points, metricdata.DataPoint[float64]{
				Attributes: as.attributes(m.GetLabel()), Time: now, Value: m.GetGauge().GetValue() + m.GetUntyped().GetValue(),
			})
		}
		metrics.Data = metricdata.Gauge[float64]{DataPoints: points}
		if as.updown {
			for i := range points {
				points[i].StartTime = p.began
			}
			metrics.Data = metricdata.Sum[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality}
		}
	case dto.MetricType_SUMMARY:
		metrics.Data = p.summary(family, as, now)
	case dto.MetricType_HISTOGRAM:
		metrics.Data = p.histogram(family, as, now)
	default:
		return metricdata.Metrics{}, false
	}
	return metrics, true
}

func (p *producer) summary(family *dto.MetricFamily, as named, now time.Time) metricdata.Summary {
	summary := metricdata.Summary{}
	for _, m := range family.GetMetric() {
		point := metricdata.SummaryDataPoint{
			Attributes: as.attributes(m.GetLabel()), StartTime: p.start(m.GetSummary()), Time: now,
			Count: m.GetSummary().GetSampleCount(), Sum: m.GetSummary().GetSampleSum(),
		}
		for _, quantile := range m.GetSummary().GetQuantile() {
			point.QuantileValues = append(point.QuantileValues, metricdata.QuantileValue{Quantile: quantile.GetQuantile(), Value: quantile.GetValue()})
		}
		summary.DataPoints = append(summary.DataPoints, point)
	}
	return summary
}

// start returns when a series began.
func (p *producer) start(value interface {
	GetCreatedTimestamp() *timestamppb.Timestamp
}) time.Time {
	if created := value.GetCreatedTimestamp(); created != nil {
		return created.AsTime()
	}
	return p.began
}
