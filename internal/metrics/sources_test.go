package metrics

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

func testSources() Sources {
	return Sources{
		Backend: "tracepoint",
		Capture: func() event.Stats {
			return event.Stats{Events: 10, Bytes: 1000, Lost: map[string]uint64{"ring_full": 0, "map_full": 2}}
		},
		Tracker: func() correlate.Stats {
			s := correlate.Stats{Tracked: 3, HeldOverflow: 4, Evicted: 5, Unsolicited: 6, ProtocolErrors: 7, Unexecuted: 8, LostConnections: 9}
			s.Ignored = map[event.Trait]uint64{event.Process: 16, event.Unit: 0}
			s.Connections[session.KindTLS] = 1
			s.Gaps[0] = correlate.Gaps{Broken: 1, BrokenBytes: 100}
			s.Gaps[event.Truncated] = correlate.Gaps{Skipped: 2, SkippedBytes: 2000}
			return s
		},
		Pools: func() []correlate.Pool {
			return []correlate.Pool{{Identity: 0, Available: 11, InUse: 12, Unassigned: [2]uint64{21, 22}}, {Identity: 1}}
		},
		LookupFailures:   func() map[string]uint64 { return map[string]uint64{"cache.example": 13} },
		WatchFailures:    func() map[string]uint64 { return map[string]uint64{"shop/cache": 14} },
		PodWatchFailures: func() uint64 { return 15 },
	}
}

func TestWatch(t *testing.T) {
	r := newPedantic(testOptions())
	r.Watch(testSources())
	got := mustFlatten(t, r, "redis_")
	want := map[string]float64{
		"redis_observer_unassigned_bytes_total{direction=request,name=cache}":  21,
		"redis_observer_unassigned_bytes_total{direction=request,name=queue}":  0,
		"redis_observer_unassigned_bytes_total{direction=response,name=cache}": 22,
		"redis_observer_unassigned_bytes_total{direction=response,name=queue}": 0,
		"redis_pool_connections{name=cache,state=available}":                   11,
		"redis_pool_connections{name=cache,state=in_use}":                      12,
		"redis_observer_capture_info{backend=tracepoint}":                      1,
		"redis_observer_capture_events_total":                                  10,
		"redis_observer_capture_bytes_total":                                   1000,
		"redis_observer_capture_lost_events_total{reason=ring_full}":           0,
		"redis_observer_capture_lost_events_total{reason=map_full}":            2,
		"redis_observer_tracked_connections":                                   3,
		"redis_observer_held_overflow_total":                                   4,
		"redis_observer_evicted_connections_total":                             5,
		"redis_observer_unsolicited_replies_total":                             6,
		"redis_observer_protocol_errors_total":                                 7,
		"redis_observer_unexecuted_commands_total":                             8,
		"redis_observer_lost_connections_total":                                9,
		"redis_observer_ignored_connections_total{by=process}":                 16,
		"redis_observer_ignored_connections_total{by=unit}":                    0,
		"redis_observer_host_lookup_failures_total{host=cache.example}":        13,
		"redis_observer_connections_total{kind=redis}":                         0,
		"redis_observer_connections_total{kind=replica}":                       0,
		"redis_observer_connections_total{kind=tls}":                           1,
		"redis_observer_connections_total{kind=not_redis}":                     0,
		"redis_observer_connections_total{kind=spliced}":                       0,
		"redis_observer_connections_total{kind=mptcp}":                         0,
		"redis_observer_connections_total{kind=ktls}":                          0,
		"redis_observer_connections_total{kind=sockmap}":                       0,
		"redis_observer_connections_total{kind=smc}":                           0,
		"redis_observer_connections_total{kind=sctp}":                          0,
		"redis_observer_connections_total{kind=seqpacket}":                     0,
		"redis_observer_config_last_reload_successful":                         0,
		"redis_observer_config_last_reload_success_timestamp_seconds":          0,
		"redis_observer_service_watch_failures_total{service=shop/cache}":      14,
		"redis_observer_pod_watch_failures_total":                              15,
	}
	for _, reason := range []string{"missing", "truncated", "unreadable", "not_in_memory", "snapped", "crowded", "urgent", "unseen", "repeated"} {
		for _, effect := range []string{"skipped", "broken"} {
			labels := "{effect=" + effect + ",reason=" + reason + "}"
			want["redis_observer_gaps_total"+labels] = 0
			want["redis_observer_gap_bytes_total"+labels] = 0
		}
	}
	want["redis_observer_gaps_total{effect=broken,reason=missing}"] = 1
	want["redis_observer_gap_bytes_total{effect=broken,reason=missing}"] = 100
	want["redis_observer_gaps_total{effect=skipped,reason=truncated}"] = 2
	want["redis_observer_gap_bytes_total{effect=skipped,reason=truncated}"] = 2000
	for series := range mustFlatten(t, r, "redis_observer_build_info") {
		want[series] = 1
	}
	assert.Equal(t, want, got)
}

// A scrape may read a pool just before its identity is released. It skips the pool, and does not
// show it under the next name of the slot.
func TestPoolOfReleasedIdentity(t *testing.T) {
	options := testOptions()
	r := newPedantic(options)
	r.Watch(testSources())
	options.Identities.Release(1)
	options.Identities.Intern("successor")
	assert.Equal(t, map[string]float64{
		"redis_pool_connections{name=cache,state=available}": 11,
		"redis_pool_connections{name=cache,state=in_use}":    12,
	}, mustFlatten(t, r, "redis_pool_"))
}

// A recorder without sources serves its own metrics.
func TestWatchNothing(t *testing.T) {
	r := newPedantic(testOptions())
	r.Watch(Sources{})
	assert.Empty(t, mustFlatten(t, r, "redis_observer_capture_"))
	assert.Empty(t, mustFlatten(t, r, "redis_pool_"))
}

// Alerts of users contain these series.
func TestAlertSeries(t *testing.T) {
	r := newPedantic(testOptions())
	r.Watch(testSources())
	r.Record(&session.Exchange{Command: command.Get, Outcome: session.Success, Count: 1, Duration: 60_000_000})
	body := scrape(t, r, "").Body.String()
	for _, series := range []string{
		`redis_command_errors_total{command="get",name="cache"} 0`,
		`redis_command_duration_seconds_bucket{command="get",name="cache",le="0.001"} 0`,
		`redis_command_duration_seconds_bucket{command="get",name="cache",le="0.1"} 1`,
		`redis_command_duration_seconds_bucket{command="get",name="cache",le="+Inf"} 1`,
	} {
		assert.Contains(t, body, "\n"+series+"\n")
	}
}

func TestServeHTTP(t *testing.T) {
	tests := []struct {
		name, accept, contentType, contains string
	}{
		{"text", "", "text/plain", `redis_commands_total{command="get",name="cache",status="success"} 1` + "\n"},
		{"OpenMetrics", "application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0", "\n# EOF\n"},
	}
	r := newPedantic(testOptions())
	r.Watch(testSources())
	r.Record(&session.Exchange{Command: command.Get, Outcome: session.Success, Count: 1})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			response := scrape(t, r, tt.accept)
			assert.Contains(t, response.Header().Get("Content-Type"), tt.contentType)
			assert.Contains(t, response.Body.String(), tt.contains)
			assert.Contains(t, response.Body.String(), "\nprocess_start_time_seconds ")
			assert.Contains(t, response.Body.String(), "\ngo_goroutines ")
		})
	}
}

func scrape(tb testing.TB, r *Recorder, accept string) *httptest.ResponseRecorder {
	tb.Helper()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response := httptest.NewRecorder()
	r.ServeHTTP(response, request)
	require.Equal(tb, http.StatusOK, response.Code)
	return response
}

// One name with 200 commands.
func BenchmarkScrape(b *testing.B) {
	options := testOptions()
	options.Buckets = defaultBuckets
	r := New(options)
	for id := range command.ID(200) {
		r.Record(&session.Exchange{Command: id, Outcome: session.Success, Count: 1, Duration: 42_000})
	}
	b.ReportAllocs()
	for b.Loop() {
		scrape(b, r, "")
	}
}
