package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Sources are the counters of the other stages. Each scrape reads them, from any goroutine. Nil
// functions are skipped.
type Sources struct {
	CatchUp          func()                   // called before each scrape, reads what has happened until then
	Backend          string                   // capture backend, for example "tracepoint"; "" before one is in use
	Capture          func() event.Stats       // counters of the capture backend
	LastRead         func() time.Time         // time of the last read; zero before the first
	Tracker          func() correlate.Stats   // counters of the tracker
	Pools            func() []correlate.Pool  // connections, one entry per identity
	LookupFailures   func() map[string]uint64 // failed DNS lookups, by host name
	WatchFailures    func() map[string]uint64 // failed watches of Services, by Service
	PodWatchFailures func() uint64            // failed watches of the pods of the node, if a label needs them
	LogDropped       func() uint64            // dropped log lines
	Labels           func() LabelStats        // sets of label values, if there are further labels
	Exports          func() ExportStats       // exports by OTLP, if there are any
	Now              func() time.Time         // clock of the losses; needs Capture and Tracker. Nil: it is not noted when something was lost
}

// Watch adds sources to the metrics. Call it once.
func (r *Recorder) Watch(sources Sources) {
	if sources.CatchUp != nil {
		r.behind.Store(&sources.CatchUp)
	}
	identities := r.options.Identities
	w := &watched{
		Sources:    sources,
		losses:     &r.losses,
		identities: identities,
		pools: prometheus.NewDesc("redis_pool_connections", "Established connections: in_use while a command is outstanding, otherwise available. Absent for a name without connections.",
			with(identities.Labels(), "state"), nil),
		unassigned: prometheus.NewDesc("redis_observer_unassigned_bytes_total", "Bytes of Redis connections that belong to no command: pushes, messages, replication, what could not be paired.",
			with(identities.Labels(), "direction"), nil),
	}
	r.watched.Store(w)
	r.register(w)
}

var (
	captureInfoDesc   = desc("capture_info", "Capture backend in use. The value is always 1.", "backend")
	captureEventsDesc = desc("capture_events_total", "Events read from the capture backend.")
	captureBytesDesc  = desc("capture_bytes_total", "Payload bytes read from the capture backend.")
	lastReadDesc      = desc("last_read_timestamp_seconds", "Time of the last read from the capture backend. Advances at least once a second.")
	captureLostDesc   = desc("capture_lost_events_total", "Events lost between the kernel and the observer, by reason.", "reason")

	tlsSearchingDesc  = desc("tls_searching", "1 while TLS libraries can be attached, 0 after the process that attaches them has ended.")
	tlsLibrariesDesc  = desc("tls_libraries", "TLS libraries and programs that are attached, by kind.", "library")
	tlsLooksDesc      = desc("tls_processes_total", "Looks at processes with a TLS connection whose library was not attached, by library and result.", "library", "result")
	tlsPassedOverDesc = desc("tls_passed_over_total", "Processes with a TLS connection that were not looked at, because there were too many.")

	connectionsDesc    = desc("connections_total", "Connections, by detected kind. A replication link counts as redis first, then as replica.", "kind")
	trackedDesc        = desc("tracked_connections", "Connections that are currently tracked.")
	evictedDesc        = desc("evicted_connections_total", "Connections evicted to make room for others.")
	lostDesc           = desc("lost_connections_total", "Connections whose close was not observed.")
	gapsDesc           = desc("gaps_total", "Gaps in captured streams. Skipped gaps are inside a value and lose nothing; broken gaps desynchronize the connection.", "reason", "effect")
	gapBytesDesc       = desc("gap_bytes_total", "Bytes in gaps of captured streams, by reason and effect of the gap.", "reason", "effect")
	heldOverflowDesc   = desc("held_overflow_total", "Out-of-order segments that did not fit into the reorder buffers.")
	unsolicitedDesc    = desc("unsolicited_replies_total", "Replies on connections that sent no request, for example when the server refuses a connection.")
	protocolErrorsDesc = desc("protocol_errors_total", "Malformed requests (not RESP), after which the server closes the connection.")
	ignoredDesc        = desc("ignored_connections_total", "Connections left out by the key ignore, by what of their owner matched.", "by")
	unexecutedDesc     = desc("unexecuted_commands_total", "Requests not counted as commands because the server cannot have run them, or because the connection is not Redis.")

	logDroppedDesc       = desc("log_lines_dropped_total", "Log lines dropped because the log was not read fast enough, or not at all.")
	watchFailuresDesc    = desc("service_watch_failures_total", "Failed requests to the API server of Kubernetes, by Service.", "service")
	podWatchFailuresDesc = desc("pod_watch_failures_total", "Failed requests to the API server of Kubernetes for the pods of this node.")
	lookupFailuresDesc   = desc("host_lookup_failures_total", "Failed DNS lookups of the host names of endpoints, by host name.", "host")
)

// watchedDescs are all of the above. They have no labels of an identity.
var watchedDescs = []*prometheus.Desc{
	captureInfoDesc, captureEventsDesc, captureBytesDesc, captureLostDesc, lastReadDesc,
	connectionsDesc, trackedDesc, evictedDesc, lostDesc, gapsDesc, gapBytesDesc,
	tlsSearchingDesc, tlsLibrariesDesc, tlsLooksDesc, tlsPassedOverDesc,
	heldOverflowDesc, unsolicitedDesc, protocolErrorsDesc, unexecutedDesc, ignoredDesc, lookupFailuresDesc, watchFailuresDesc, podWatchFailuresDesc, logDroppedDesc,
	lossEpisodesDesc, lastLossDesc, lastLossCountDesc, lastLossRatioDesc,
	labelSetsDesc, labelOverflowDesc, labelUnknownDesc,
	exportsDesc, lastExportDesc,
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("redis_observer_"+name, help, labels, nil)
}

// watched collects Sources.
type watched struct {
	Sources
	losses     *losses
	identities *identity.Registry
	pools      *prometheus.Desc // with the labels of an identity, like
	unassigned *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (w *watched) Describe(descs chan<- *prometheus.Desc) {
	descs <- w.pools
	descs <- w.unassigned
	for _, d := range watchedDescs {
		descs <- d
	}
}

// Collect implements prometheus.Collector. It reads the stages in reverse order of the data path,
// so that no stage shows less than its successors.
func (w *watched) Collect(out chan<- prometheus.Metric) {
	if w.Pools != nil {
		w.collectPools(out)
	}
	var tracker correlate.Stats
	if w.Tracker != nil {
		tracker = w.Tracker()
		collectTracker(out, &tracker)
	}
	if w.Capture != nil {
		stats := w.Capture()
		collectCapture(out, stats)
		if w.Now != nil {
			w.losses.note(w.Now(), stats, &tracker)
			w.losses.collect(out)
		}
	}
	if w.LastRead != nil {
		if at := w.LastRead(); !at.IsZero() {
			gauge(out, lastReadDesc, float64(at.UnixMilli())/1000)
		}
	}
	if w.Backend != "" {
		gauge(out, captureInfoDesc, 1, w.Backend)
	}
	if w.LogDropped != nil {
		counter(out, logDroppedDesc, w.LogDropped())
	}
	if w.Labels != nil {
		collectLabels(out, w.Labels())
	}
	if w.Exports != nil {
		collectExports(out, w.Exports())
	}
	if w.LookupFailures != nil {
		for host, failures := range w.LookupFailures() {
			counter(out, lookupFailuresDesc, failures, host)
		}
	}
	if w.PodWatchFailures != nil {
		counter(out, podWatchFailuresDesc, w.PodWatchFailures())
	}
	if w.WatchFailures != nil {
		for service, failures := range w.WatchFailures() {
			counter(out, watchFailuresDesc, failures, service)
		}
	}
}

func (w *watched) collectPools(out chan<- prometheus.Metric) {
	for _, pool := range w.Pools() {
		values, found := w.identities.Values(pool.Identity)
		if !found {
			continue // released since Pools was called
		}
		if pool.Available != 0 || pool.InUse != 0 { // 0 available connections would look like an exhausted pool
			gauge(out, w.pools, float64(pool.Available), with(values, "available")...)
			gauge(out, w.pools, float64(pool.InUse), with(values, "in_use")...)
		}
		counter(out, w.unassigned, pool.Unassigned[event.Request], with(values, "request")...)
		counter(out, w.unassigned, pool.Unassigned[event.Reply], with(values, "response")...)
	}
}

func collectTracker(out chan<- prometheus.Metric, stats *correlate.Stats) {
	for kind, n := range stats.Connections {
		counter(out, connectionsDesc, n, session.Kind(kind).String())
	}
	for reason, gaps := range stats.Gaps {
		name := gapReasonName(event.Reason(reason))
		counter(out, gapsDesc, gaps.Skipped, name, "skipped")
		counter(out, gapsDesc, gaps.Broken, name, "broken")
		counter(out, gapBytesDesc, gaps.SkippedBytes, name, "skipped")
		counter(out, gapBytesDesc, gaps.BrokenBytes, name, "broken")
	}
	gauge(out, trackedDesc, float64(stats.Tracked))
	counter(out, evictedDesc, stats.Evicted)
	counter(out, lostDesc, stats.LostConnections)
	counter(out, heldOverflowDesc, stats.HeldOverflow)
	counter(out, unsolicitedDesc, stats.Unsolicited)
	counter(out, protocolErrorsDesc, stats.ProtocolErrors)
	counter(out, unexecutedDesc, stats.Unexecuted)
	for trait, n := range stats.Ignored {
		counter(out, ignoredDesc, n, trait.String())
	}
}

func collectCapture(out chan<- prometheus.Metric, stats event.Stats) {
	counter(out, captureEventsDesc, stats.Events)
	counter(out, captureBytesDesc, stats.Bytes)
	for reason, lost := range stats.Lost {
		counter(out, captureLostDesc, lost, reason)
	}
	if stats.TLS != nil {
		collectTLS(out, stats.TLS)
	}
}

func collectTLS(out chan<- prometheus.Metric, stats *event.TLSStats) {
	searching := 0.0
	if stats.Searching {
		searching = 1
	}
	gauge(out, tlsSearchingDesc, searching)
	for kind, n := range stats.Libraries {
		gauge(out, tlsLibrariesDesc, float64(n), kind)
	}
	for look, n := range stats.Looks {
		counter(out, tlsLooksDesc, n, look.Library, look.Result)
	}
	counter(out, tlsPassedOverDesc, stats.PassedOver)
}

func gapReasonName(reason event.Reason) string {
	switch reason {
	case event.Truncated:
		return "truncated"
	case event.Unreadable:
		return "unreadable"
	case event.NotInMemory:
		return "not_in_memory"
	case event.Snapped:
		return "snapped"
	case event.Repeated:
		return "repeated"
	case event.Crowded:
		return "crowded"
	case event.Urgent:
		return "urgent"
	case event.Unseen:
		return "unseen"
	default:
		return "missing" // found by sequence numbers, without an event
	}
}

func counter(out chan<- prometheus.Metric, d *prometheus.Desc, value uint64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
