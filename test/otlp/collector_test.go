package otlp

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/redis-observer/redis-observer/test/kit"
)

// mustCollector starts the receiver of the OpenTelemetry Collector for a protocol.
func mustCollector(t *testing.T, protocol string) (address string, sink *consumertest.MetricsSink) {
	t.Helper()
	address, sink = fmt.Sprintf("127.0.0.1:%d", mustPort(t)), new(consumertest.MetricsSink)
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{protocol: map[string]any{"endpoint": address}}}).Unmarshal(config))
	receiver, err := factory.CreateMetrics(t.Context(), receivertest.NewNopSettings(factory.Type()), config, sink)
	require.NoError(t, err)
	require.NoError(t, receiver.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { assert.NoError(t, receiver.Shutdown(t.Context())) })
	return address, sink
}

// samplesOf returns the last value of each series.
func samplesOf(sink *consumertest.MetricsSink) kit.Samples {
	s := kit.Samples{}
	for _, metrics := range sink.AllMetrics() {
		for _, resource := range metrics.ResourceMetrics().All() {
			for _, scope := range resource.ScopeMetrics().All() {
				for _, metric := range scope.Metrics().All() {
					add(s, metric)
				}
			}
		}
	}
	return s
}

func add(s kit.Samples, metric pmetric.Metric) {
	switch metric.Type() {
	case pmetric.MetricTypeSum:
		for _, p := range metric.Sum().DataPoints().All() {
			s[metric.Name()+labels(p.Attributes())] = p.DoubleValue()
		}
	case pmetric.MetricTypeGauge:
		for _, p := range metric.Gauge().DataPoints().All() {
			s[metric.Name()+labels(p.Attributes())] = p.DoubleValue()
		}
	case pmetric.MetricTypeHistogram:
		for _, p := range metric.Histogram().DataPoints().All() {
			s[metric.Name()+labels(p.Attributes())] = float64(p.Count())
			s[metric.Name()+"_sum"+labels(p.Attributes())] = p.Sum()
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range metric.ExponentialHistogram().DataPoints().All() {
			s[metric.Name()+labels(p.Attributes())] = float64(p.Count())
			s[metric.Name()+"_sum"+labels(p.Attributes())] = p.Sum()
		}
	}
}

func labels(attributes pcommon.Map) string {
	var pairs []string
	for key, value := range attributes.All() {
		pairs = append(pairs, key+"="+value.AsString())
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ",") + "}"
}

// The receiver of the Collector takes what /metrics has, by both protocols, under both kinds of names, and with both kinds of buckets.
func TestCollector(t *testing.T) {
	for protocol, key := range map[string]string{"grpc": "grpc", "http/protobuf": "http"} {
		for _, native := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s native=%t", key, native), func(t *testing.T) {
				address, sink := mustCollector(t, key)
				metrics := fmt.Sprintf("native_histograms: %t", native)
				otlp := fmt.Sprintf("endpoint: \"http://%s\", protocol: %s, compression: gzip, names: ", address, protocol)
				t.Run("prometheus", func(t *testing.T) {
					o := mustObserve(t, metrics, otlp+"prometheus")
					assertSame(t, o, func() kit.Samples { return samplesOf(sink) })
				})
				sink.Reset()
				t.Run("semconv", func(t *testing.T) {
					o := mustObserve(t, metrics, otlp+"semconv")
					assertConventions(t, o, func() kit.Samples { return samplesOf(sink) }, func(name string) string { return name })
				})
				last := sink.AllMetrics()[len(sink.AllMetrics())-1].ResourceMetrics().At(0).Resource().Attributes()
				service, _ := last.Get("service.name")
				assert.Equal(t, "redis-observer", service.AsString())
			})
		}
	}
}
