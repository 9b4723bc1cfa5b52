package otlp

import (
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/metrics"
)

// mustRecord returns a recorder that has counted commands of all outcomes.
func mustRecord(byError, native bool) *metrics.Recorder {
	identities := identity.NewRegistry("name", "container_id")
	identities.Intern("cache", "abc")
	identities.Intern("queue", "")
	r := metrics.New(metrics.Options{
		Buckets: []float64{0.001, 0.1}, NativeHistograms: native, DurationsByError: byError,
		Commands: command.Builtin(), Identities: identities, Version: "1.2.3", Logger: slog.New(slog.DiscardHandler),
	})
	r.Watch(metrics.Sources{Pools: func() []correlate.Pool {
		return []correlate.Pool{{Identity: 0, Available: 11, InUse: 12}}
	}})
	configGet := command.Builtin().Lookup([]byte("config"), []byte("get"))
	for i := range 300 {
		at := int64(1+i%7*i) * int64(time.Microsecond)
		for _, e := range []session.Exchange{
			{Command: command.Get, Count: 2, Duration: at, RequestBytes: 40, ResponseBytes: 10, Nils: 2},
			{Command: command.Get, Outcome: session.Error, Prefix: command.LookupPrefix([]byte("WRONGTYPE x")), Count: 1, Duration: 100 * at},
			{Command: command.Get, Outcome: session.Error, Prefix: command.OtherPrefix, Count: 1, Duration: 3 * at},
			{Command: command.Get, Outcome: session.Unanswered, Reason: session.ServerClosed, Count: 1, Duration: 1000 * at},
			{Command: command.Get, Outcome: session.Unanswered, Reason: session.ClientClosed, Count: 1, Duration: at},
			{Command: command.Get, Outcome: session.Silent, Count: 1},
			{Identity: 1, Command: configGet, Count: 1, Duration: at},
			{Identity: 1, Command: command.Other, Count: 1, Duration: at},
			{Identity: 1, Outcome: session.Unpaired, Reason: session.MidStream, Count: 1},
		} {
			r.Record(&e)
		}
	}
	return r
}

func testSemconv() *Semconv {
	return &Semconv{
		Operation: func(label string) string {
			if label == "other" {
				return "_OTHER"
			}
			return strings.ToUpper(strings.ReplaceAll(label, "_", " "))
		},
		Server: func(name string) (string, int) {
			if name == "cache" {
				return "10.0.0.1", 6379
			}
			return "", 0
		},
	}
}

func mustProduce(t *testing.T, options Options) map[string]metricdata.Metrics {
	t.Helper()
	options.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	scopes, err := newProducer(&options).Produce(t.Context())
	require.NoError(t, err)
	require.Len(t, scopes, 1)
	byName := map[string]metricdata.Metrics{}
	for _, m := range scopes[0].Metrics {
		assert.NotContains(t, byName, m.Name)
		byName[m.Name] = m
	}
	return byName
}

// flatten returns the numbers of what is exported by series, in the form of scraped.
func flatten(produced map[string]metricdata.Metrics) map[string]float64 {
	flat := map[string]float64{}
	for name, m := range produced {
		switch data := m.Data.(type) {
		case metricdata.Sum[float64]:
			for _, p := range data.DataPoints {
				flat[name+p.Attributes.Encoded(pairs{})] = p.Value
			}
		case metricdata.Gauge[float64]:
			for _, p := range data.DataPoints {
				flat[name+p.Attributes.Encoded(pairs{})] = p.Value
			}
		case metricdata.Summary:
			for _, p := range data.DataPoints {
				flat[name+"_count"+p.Attributes.Encoded(pairs{})] = float64(p.Count)
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				labels := p.Attributes.Encoded(pairs{})
				flat[name+"_count"+labels], flat[name+"_sum"+labels] = float64(p.Count), p.Sum
				for i, n := range p.BucketCounts {
					bound := math.Inf(1)
					if i < len(p.Bounds) {
						bound = p.Bounds[i]
					}
					flat[name+"_bucket"+strconv.FormatFloat(bound, 'g', -1, 64)+labels] = float64(n)
				}
			}
		case metricdata.ExponentialHistogram[float64]:
			for _, p := range data.DataPoints {
				labels := p.Attributes.Encoded(pairs{})
				flat[name+"_count"+labels], flat[name+"_sum"+labels] = float64(p.Count), p.Sum
			}
		}
	}
	return flat
}

// scraped returns the numbers of /metrics by series; buckets are not cumulative.
func scraped(t *testing.T, r *metrics.Recorder) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	flat := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels, name := encode(m.GetLabel()), family.GetName()
			if s := m.GetSummary(); s != nil {
				flat[name+"_count"+labels] = float64(s.GetSampleCount())
				continue
			}
			if h := m.GetHistogram(); h != nil {
				flat[name+"_count"+labels], flat[name+"_sum"+labels] = float64(h.GetSampleCount()), h.GetSampleSum()
				before := uint64(0)
				for _, b := range h.GetBucket() {
					flat[name+"_bucket"+strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)+labels] = float64(b.GetCumulativeCount() - before)
					before = b.GetCumulativeCount()
				}
				flat[name+"_bucket+Inf"+labels] = float64(h.GetSampleCount() - before)
				continue
			}
			flat[name+labels] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return flat
}

func encode(labels []*dto.LabelPair) string {
	var list []string
	for _, label := range labels {
		list = append(list, label.GetName()+"="+label.GetValue())
	}
	slices.Sort(list)
	return "{" + strings.Join(list, ",") + "}"
}

// Under their own names, all series of /metrics are exported with their numbers, whether or not the
// durations are kept by error.
func TestSameAsMetrics(t *testing.T) {
	for _, byError := range []bool{false, true} {
		r := mustRecord(byError, false)
		got, want := flatten(mustProduce(t, Options{Gather: r.Gather})), scraped(t, r)
		for series, n := range want {
			if strings.HasPrefix(series, "redis_") {
				assert.InDelta(t, n, got[series], 1e-9, series)
			}
		}
		assert.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)))
	}
}

// What is kept by error adds up to what is kept without.
func TestDurationsByErrorAddUp(t *testing.T) {
	for _, native := range []bool{false, true} {
		apart, together := scraped(t, mustRecord(true, native)), scraped(t, mustRecord(false, native))
		for series, n := range together {
			if strings.HasPrefix(series, durations) {
				assert.InDelta(t, n, apart[series], 1e-9, series)
			}
		}
	}
}

func TestSemconv(t *testing.T) {
	r := mustRecord(true, false)
	produced := mustProduce(t, Options{Gather: r.GatherByError, Semconv: testSemconv()})
	got := flatten(produced)
	count := func(labels string) float64 { return got["db.client.operation.duration_count{"+labels+"}"] }
	const get = ",db.operation.name=GET,"
	assert.Equal(t, 600.0, count("container.id=abc,db.operation.name=GET,db.system.name=redis,redis_observer.name=cache,server.address=10.0.0.1,server.port=6379"))
	assert.Equal(t, 300.0, count("container.id=abc,db.operation.name=GET,db.response.status_code=WRONGTYPE,db.system.name=redis,error.type=WRONGTYPE,redis_observer.name=cache,server.address=10.0.0.1,server.port=6379"))
	assert.Equal(t, 300.0, count("container.id=abc,db.operation.name=GET,db.system.name=redis,error.type=_OTHER,redis_observer.name=cache,server.address=10.0.0.1,server.port=6379"))
	assert.Equal(t, 300.0, count("container.id=abc,db.operation.name=GET,db.system.name=redis,error.type=server_closed,redis_observer.name=cache,server.address=10.0.0.1,server.port=6379"))
	assert.Equal(t, 300.0, count("db.operation.name=CONFIG GET,db.system.name=redis,redis_observer.name=queue"))
	assert.Equal(t, 300.0, count("db.operation.name=_OTHER,db.system.name=redis,redis_observer.name=queue"))
	assert.Equal(t, 11.0, got["db.client.connection.count{container.id=abc,db.client.connection.pool.name=cache,db.client.connection.state=idle}"])
	assert.Equal(t, 12.0, got["db.client.connection.count{container.id=abc,db.client.connection.pool.name=cache,db.client.connection.state=used}"])
	assert.Equal(t, 12000.0, got["redis_command_request_bytes_total{container.id=abc,db.operation.name=GET,redis_observer.name=cache}"])
	assert.Equal(t, 300.0, got["redis_command_error_replies_total{container.id=abc,db.operation.name=GET,db.response.status_code=WRONGTYPE,redis_observer.name=cache}"])

	sums := map[string]float64{}
	for series, n := range got {
		if name, labels, _ := strings.Cut(series, "{"); strings.HasPrefix(name, "db.client.operation.duration_") && strings.Contains(labels, get) {
			sums[strings.TrimPrefix(name, "db.client.operation.duration")] += n
		}
	}
	for series, n := range scraped(t, r) {
		if name, labels, _ := strings.Cut(series, "{"); strings.HasPrefix(name, durations) && strings.Contains(labels, "command=get,") {
			assert.InDelta(t, n, sums[strings.TrimPrefix(name, durations)], 1e-9, series)
		}
	}
	assert.NotContains(t, produced, durations)
	assert.NotContains(t, produced, pools)
	duration := produced["db.client.operation.duration"]
	assert.Equal(t, "s", duration.Unit)
	assert.Equal(t, metricdata.CumulativeTemporality, duration.Data.(metricdata.Histogram[float64]).Temporality)
	assert.Equal(t, []float64{0.001, 0.1}, duration.Data.(metricdata.Histogram[float64]).DataPoints[0].Bounds)
	connections := produced["db.client.connection.count"].Data.(metricdata.Sum[float64])
	assert.False(t, connections.IsMonotonic)
	assert.Equal(t, "{connection}", produced["db.client.connection.count"].Unit)
}

// An export reads what has happened until then once, and so all of its numbers are of one moment: there
// are as many durations as commands that have one.
func TestReadsOnce(t *testing.T) {
	identities := identity.NewRegistry("name")
	identities.Intern("cache")
	r := metrics.New(metrics.Options{
		Buckets: []float64{0.1}, DurationsByError: true, Commands: command.Builtin(), Identities: identities, Logger: slog.New(slog.DiscardHandler),
	})
	reads := 0
	r.Watch(metrics.Sources{CatchUp: func() {
		reads++
		r.Record(&session.Exchange{Command: command.Get, Count: 1, Duration: 1})
	}})
	got := flatten(mustProduce(t, Options{Gather: r.GatherByError, Semconv: testSemconv()}))
	assert.Equal(t, 1, reads)
	commands := 0.0
	for series, n := range got {
		if strings.HasPrefix(series, "redis_commands_total{") {
			commands += n
		}
	}
	assert.Equal(t, 1.0, commands)
	assert.Equal(t, commands, got["db.client.operation.duration_count{db.operation.name=GET,db.system.name=redis,redis_observer.name=cache,server.address=10.0.0.1,server.port=6379}"])
}

// Native histograms are exported as exponential ones, whose buckets hold the same durations.
func TestExponential(t *testing.T) {
	r := mustRecord(true, true)
	produced := mustProduce(t, Options{Gather: r.GatherByError, Semconv: testSemconv()})
	points := produced["db.client.operation.duration"].Data.(metricdata.ExponentialHistogram[float64]).DataPoints
	total := uint64(0)
	for _, p := range points {
		count := p.ZeroCount
		base, low := math.Pow(2, math.Pow(2, -float64(p.Scale))), 0.0
		for i, n := range p.PositiveBucket.Counts {
			count += n
			low += float64(n) * math.Pow(base, float64(int(p.PositiveBucket.Offset)+i))
		}
		assert.Equal(t, p.Count, count)
		assert.InDelta(t, p.Sum, low*math.Sqrt(base), p.Sum*(base-1)/2, "%v", p.Attributes)
		total += p.Count
	}
	assert.Equal(t, uint64(300*7), total)

	// /metrics has them together.
	families, err := r.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != durations {
			continue
		}
		for _, m := range family.GetMetric() {
			h := m.GetHistogram()
			sum := h.GetZeroCount()
			for _, n := range dense(h.GetPositiveSpan(), h.GetPositiveDelta()).Counts {
				sum += n
			}
			assert.Equal(t, h.GetSampleCount(), sum)
			assert.NotNil(t, h.Schema)
		}
	}
}

// Series begin when they are first counted, others with the producer.
func TestStartTimes(t *testing.T) {
	before := time.Now()
	r := mustRecord(false, false)
	produced := mustProduce(t, Options{Gather: r.Gather})
	for _, name := range []string{"redis_commands_total", "redis_command_request_bytes_total", "redis_observer_unassigned_bytes_total"} {
		for _, p := range produced[name].Data.(metricdata.Sum[float64]).DataPoints {
			assert.WithinRange(t, p.StartTime, before, p.Time, name)
		}
	}
}

// pairs encodes attributes like encode.
type pairs struct{}

// Encode implements attribute.Encoder.
func (pairs) Encode(attributes attribute.Iterator) string {
	var list []string
	for attributes.Next() {
		a := attributes.Attribute()
		list = append(list, string(a.Key)+"="+a.Value.String())
	}
	slices.Sort(list)
	return "{" + strings.Join(list, ",") + "}"
}

// ID implements attribute.Encoder.
func (pairs) ID() attribute.EncoderID { return attribute.EncoderID{} }
