package metrics

import (
	"log/slog"
	"maps"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/identity"
)

var testNames = []string{"cache", "queue"}

func testOptions() Options {
	return Options{
		Buckets:    []float64{0.001, 0.1},
		Commands:   command.Builtin(),
		Identities: identitiesOf(testNames...),
		Version:    "1.2.3",
		Revision:   "abcdef",
		Logger:     slog.New(slog.DiscardHandler),
	}
}

// identitiesOf returns a registry in which each name has its index as its ID.
func identitiesOf(names ...string) *identity.Registry {
	identities := identity.NewRegistry("name")
	for _, name := range names {
		identities.Intern(name)
	}
	return identities
}

// newPedantic returns a Recorder that rejects inconsistent metrics.
func newPedantic(options Options) *Recorder {
	return newRecorder(options, prometheus.NewPedanticRegistry())
}

// mustFlatten returns the series of the families with a prefix and their values. A histogram
// becomes its count and sum.
func mustFlatten(tb testing.TB, r *Recorder, prefix string) map[string]float64 {
	tb.Helper()
	families, err := r.Gather()
	require.NoError(tb, err)
	flat := map[string]float64{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), prefix) {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := flattenLabels(metric)
			if h := metric.GetHistogram(); h != nil {
				flat[family.GetName()+"_count"+labels] = float64(h.GetSampleCount())
				flat[family.GetName()+"_sum"+labels] = h.GetSampleSum()
				continue
			}
			flat[family.GetName()+labels] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return flat
}

func flattenLabels(metric *dto.Metric) string {
	var pairs []string
	for _, pair := range metric.GetLabel() {
		pairs = append(pairs, pair.GetName()+"="+pair.GetValue())
	}
	if len(pairs) == 0 {
		return ""
	}
	sort.Strings(pairs)
	return "{" + strings.Join(pairs, ",") + "}"
}

// zeroLoss are the series that a name has after its first Exchange.
func zeroLoss(name string) map[string]float64 {
	zero := map[string]float64{"redis_observer_silent_commands_total{name=" + name + "}": 0}
	for _, reason := range []string{"mid_stream", "gap", "unsolicited", "malformed", "transaction", "overflow", "lost_close", "evicted"} {
		zero["redis_observer_unpaired_commands_total{name="+name+",reason="+reason+"}"] = 0
	}
	return zero
}

// zeroBytes are the series of bytes that each command has, in addition to those that it is given.
func zeroBytes(series map[string]float64) map[string]float64 {
	zero := map[string]float64{}
	for name := range series {
		if labels, found := strings.CutPrefix(name, "redis_command_errors_total"); found {
			zero["redis_command_request_bytes_total"+labels], zero["redis_command_response_bytes_total"+labels] = 0, 0
		}
	}
	return zero
}

// What exchanges weigh is summed by command, and nulls have no series before the first.
func TestRecordSums(t *testing.T) {
	r := newPedantic(testOptions())
	for _, e := range []session.Exchange{
		{Command: command.Get, Count: 2, RequestBytes: 40, ResponseBytes: 10, Nils: 2},
		{Command: command.Get, Count: 1, RequestBytes: 20, ResponseBytes: 5, Nils: 1},
		{Command: command.Mget, Count: 1, RequestBytes: 30, ResponseBytes: 9, NilElements: 2},
		{Command: command.Get, Outcome: session.Silent, Count: 1, RequestBytes: 1},
	} {
		r.Record(&e)
	}
	got := map[string]float64{}
	for _, family := range []string{"redis_command_request_bytes", "redis_command_response_bytes", "redis_command_nil"} {
		maps.Copy(got, mustFlatten(t, r, family))
	}
	maps.DeleteFunc(got, func(_ string, n float64) bool { return n == 0 })
	assert.Equal(t, map[string]float64{
		"redis_command_request_bytes_total{command=get,name=cache}":   61,
		"redis_command_response_bytes_total{command=get,name=cache}":  15,
		"redis_command_nil_replies_total{command=get,name=cache}":     3,
		"redis_command_request_bytes_total{command=mget,name=cache}":  30,
		"redis_command_response_bytes_total{command=mget,name=cache}": 9,
		"redis_command_nil_elements_total{command=mget,name=cache}":   2,
	}, got)
}

func TestRecord(t *testing.T) {
	const get, second = `{command=get,name=cache}`, int64(time.Second)
	tests := []struct {
		name      string
		exchanges []session.Exchange
		want      map[string]float64
	}{
		{"success", []session.Exchange{
			{Command: command.Get, Outcome: session.Success, Count: 1, Duration: second / 4},
			{Command: command.Get, Outcome: session.Success, Count: 1, Duration: second / 4},
		}, map[string]float64{
			"redis_commands_total{command=get,name=cache,status=success}": 2,
			"redis_commands_total{command=get,name=cache,status=error}":   0,
			"redis_command_errors_total" + get:                            0,
			"redis_command_duration_seconds_count" + get:                  2,
			"redis_command_duration_seconds_sum" + get:                    0.5,
		}},
		{"error reply", []session.Exchange{
			{Command: command.Get, Outcome: session.Error, Prefix: command.LookupPrefix([]byte("WRONGTYPE x")), Count: 1, Duration: second},
		}, map[string]float64{
			"redis_commands_total{command=get,name=cache,status=success}":                0,
			"redis_commands_total{command=get,name=cache,status=error}":                  1,
			"redis_command_errors_total" + get:                                           1,
			"redis_command_error_replies_total{command=get,name=cache,prefix=WRONGTYPE}": 1,
			"redis_command_duration_seconds_count" + get:                                 1,
			"redis_command_duration_seconds_sum" + get:                                   1,
			"redis_observer_error_replies_total{name=cache,prefix=WRONGTYPE}":            1,
		}},
		{"unanswered", []session.Exchange{
			{Command: command.Get, Outcome: session.Unanswered, Reason: session.ServerClosed, Count: 1, Duration: second},
		}, map[string]float64{
			"redis_commands_total{command=get,name=cache,status=success}":               0,
			"redis_commands_total{command=get,name=cache,status=error}":                 1,
			"redis_command_errors_total" + get:                                          1,
			"redis_command_duration_seconds_count" + get:                                1,
			"redis_command_duration_seconds_sum" + get:                                  1,
			"redis_observer_unanswered_commands_total{name=cache,reason=server_closed}": 1,
		}},
		{"given up", []session.Exchange{
			{Command: command.Get, Outcome: session.Unanswered, Reason: session.ClientClosed, Count: 2, Duration: second},
			{Command: command.Get, Outcome: session.Unanswered, Reason: session.Network, Count: 1, Duration: second},
		}, map[string]float64{
			"redis_commands_total{command=get,name=cache,status=success}":               2,
			"redis_commands_total{command=get,name=cache,status=error}":                 1,
			"redis_command_errors_total" + get:                                          1,
			"redis_command_duration_seconds_count" + get:                                1,
			"redis_command_duration_seconds_sum" + get:                                  1,
			"redis_observer_unanswered_commands_total{name=cache,reason=client_closed}": 2,
			"redis_observer_unanswered_commands_total{name=cache,reason=network}":       1,
		}},
		{"silent", []session.Exchange{
			{Command: command.Replconf, Outcome: session.Silent, Count: 1},
		}, map[string]float64{
			"redis_commands_total{command=replconf,name=cache,status=success}":  1,
			"redis_commands_total{command=replconf,name=cache,status=error}":    0,
			"redis_command_errors_total{command=replconf,name=cache}":           0,
			"redis_command_duration_seconds_count{command=replconf,name=cache}": 0,
			"redis_command_duration_seconds_sum{command=replconf,name=cache}":   0,
			"redis_observer_silent_commands_total{name=cache}":                  1,
		}},
		{"unpaired", []session.Exchange{
			{Identity: 1, Outcome: session.Unpaired, Reason: session.MidStream, Count: 7},
			{Identity: 1, Outcome: session.Unpaired, Reason: session.MidStream, Count: 1},
		}, map[string]float64{
			"redis_observer_unpaired_commands_total{name=queue,reason=mid_stream}": 8,
		}},
		{"unknown command", []session.Exchange{
			{Identity: 1, Command: command.Other, Outcome: session.Success, Count: 1},
		}, map[string]float64{
			"redis_commands_total{command=other,name=queue,status=success}":  1,
			"redis_commands_total{command=other,name=queue,status=error}":    0,
			"redis_command_errors_total{command=other,name=queue}":           0,
			"redis_command_duration_seconds_count{command=other,name=queue}": 1,
			"redis_command_duration_seconds_sum{command=other,name=queue}":   0,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newPedantic(testOptions())
			for _, e := range tt.exchanges {
				r.Record(&e)
			}
			want := zeroLoss(testNames[tt.exchanges[0].Identity])
			maps.Copy(want, tt.want)
			maps.Copy(want, zeroBytes(tt.want))

			got := mustFlatten(t, r, "redis_")
			for _, constant := range []string{
				"redis_observer_config_last_reload_successful", "redis_observer_config_last_reload_success_timestamp_seconds",
			} {
				assert.Contains(t, got, constant)
				delete(got, constant)
			}
			for series := range got {
				if strings.HasPrefix(series, "redis_observer_build_info") {
					delete(got, series)
				}
			}
			assert.Equal(t, want, got)
		})
	}
}

// End removes the series of one identity, also with several labels, and keeps all others.
func TestEnd(t *testing.T) {
	for _, native := range []bool{false, true} {
		options := testOptions()
		options.NativeHistograms = native
		options.Identities = identity.NewRegistry("pod", "name")
		r := newPedantic(options)
		ended, kept := options.Identities.Intern("a", "cache"), options.Identities.Intern("b", "cache")
		for _, id := range []identity.ID{ended, kept} {
			for _, e := range exchangeOfEachOutcome() {
				e.Identity = id
				r.Record(&e)
			}
		}
		all := mustFlatten(t, r, "redis_")
		r.End(ended)
		r.End(ended)
		options.Identities.Release(ended)
		left := mustFlatten(t, r, "redis_")
		removed := 0
		for series, value := range all {
			if strings.Contains(series, "pod=a") {
				removed++
				assert.NotContains(t, left, series)
				continue
			}
			assert.Equal(t, value, left[series], series)
		}
		assert.Positive(t, removed)
		assert.Len(t, left, len(all)-removed)

		successor := options.Identities.Intern("c", "cache")
		require.Equal(t, ended.Slot(), successor.Slot())
		r.Record(&session.Exchange{Identity: successor, Command: command.Get, Count: 5})
		now := mustFlatten(t, r, "redis_commands_total")
		assert.EqualValues(t, 5, now["redis_commands_total{command=get,name=cache,pod=c,status=success}"])
		assert.NotContains(t, now, "redis_commands_total{command=get,name=cache,pod=a,status=success}")
		assert.Panics(t, func() { r.Record(&session.Exchange{Identity: ended, Command: command.Get, Count: 1}) }, "nothing may count under the new one")
	}
}

// Commands counts what redis_commands_total does.
func TestCommands(t *testing.T) {
	r := newPedantic(testOptions())
	assert.Zero(t, r.Commands(0, command.Get))
	for _, outcome := range []session.Outcome{session.Success, session.Error, session.Silent, session.Unanswered, session.Unpaired} {
		r.Record(&session.Exchange{Command: command.Get, Outcome: outcome, Count: 2})
	}
	assert.EqualValues(t, 8, r.Commands(0, command.Get))
	assert.Zero(t, r.Commands(0, command.Mget))
	r.End(0)
	assert.Zero(t, r.Commands(0, command.Get))
}

// Commands with equal labels, like OBJECT ENCODING and OBJECT FREQ in the names of redis-py, share
// series.
func TestRecordSharedLabel(t *testing.T) {
	options := testOptions()
	options.Style = command.RedisPy
	r := newPedantic(options)
	r.Record(&session.Exchange{Command: command.ObjectEncoding, Count: 1})
	r.Record(&session.Exchange{Command: command.ObjectFreq, Count: 1})
	r.Record(&session.Exchange{Command: command.Del, Count: 1})
	got := mustFlatten(t, r, "redis_commands_total")
	assert.EqualValues(t, 2, got["redis_commands_total{command=object,name=cache,status=success}"])
	assert.EqualValues(t, 1, got["redis_commands_total{command=delete,name=cache,status=success}"])
}

// Every reason and prefix has a cached series.
func TestReasonsFitTheCache(t *testing.T) {
	assert.LessOrEqual(t, command.PrefixCount, maxCached)
	assert.Equal(t, session.Reason(maxCached).String(), session.Reason(maxCached-1).String(), "a reason beyond the cache")
}

func TestConfigRead(t *testing.T) {
	r := newPedantic(testOptions())
	r.ConfigRead(true, time.UnixMilli(1_700_000_000_500))
	r.ConfigRead(false, time.UnixMilli(1_800_000_000_000))
	assert.Equal(t, map[string]float64{
		"redis_observer_config_last_reload_successful":                0,
		"redis_observer_config_last_reload_success_timestamp_seconds": 1_700_000_000.5,
	}, mustFlatten(t, r, "redis_observer_config_"))
}

func TestRecordConcurrently(t *testing.T) {
	r := newPedantic(testOptions())
	const goroutines, rounds = 4, 500
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range rounds {
				r.Record(&session.Exchange{Identity: identity.ID(i % 2), Command: command.ID(i % 50), Outcome: session.Error, Count: 1})
			}
		})
	}
	wg.Wait()
	var sum float64
	for _, value := range mustFlatten(t, r, "redis_command_errors_total") {
		sum += value
	}
	assert.EqualValues(t, goroutines*rounds, sum)
}

func TestLint(t *testing.T) {
	r := newPedantic(testOptions())
	r.Watch(testSources())
	for _, e := range exchangeOfEachOutcome() {
		r.Record(&e)
	}
	problems, err := testutil.GatherAndLint(r.registry)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func exchangeOfEachOutcome() []session.Exchange {
	return []session.Exchange{
		{Command: command.Get, Outcome: session.Success, Count: 1, Duration: 50_000},
		{Command: command.Get, Outcome: session.Error, Prefix: 1, Count: 1, Duration: 50_000},
		{Command: command.Get, Outcome: session.Silent, Count: 1},
		{Command: command.Get, Outcome: session.Unanswered, Reason: session.ClientClosed, Count: 1, Duration: 50_000},
		{Command: command.Get, Outcome: session.Unpaired, Reason: session.MidStream, Count: 3},
	}
}

func TestRecordAllocations(t *testing.T) {
	for _, native := range []bool{false, true} {
		options := testOptions()
		options.NativeHistograms = native
		r := newPedantic(options)
		for _, e := range exchangeOfEachOutcome() {
			r.Record(&e)
			assert.Zero(t, testing.AllocsPerRun(100, func() { r.Record(&e) }), "outcome %d, native %t", e.Outcome, native)
		}
	}
}

// defaultBuckets are those of the configuration.
var defaultBuckets = []float64{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

func BenchmarkRecord(b *testing.B) {
	options := testOptions()
	options.Buckets = defaultBuckets
	for _, bb := range []struct {
		name   string
		native bool
	}{{"classic", false}, {"native", true}} {
		b.Run(bb.name, func(b *testing.B) {
			options.NativeHistograms = bb.native
			r := New(options)
			e := session.Exchange{Command: command.Get, Outcome: session.Success, Count: 1, Duration: 42_000}
			b.ReportAllocs()
			for b.Loop() {
				r.Record(&e)
			}
		})
	}
}
