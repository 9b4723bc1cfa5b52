package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ExportStats are the counters of the exports by OTLP.
type ExportStats struct {
	Results     map[string]uint64 // requests, by result
	LastSuccess time.Time         // zero before the first
}

var (
	exportsDesc    = desc("otlp_exports_total", "Requests by which metrics were exported, by result.", "result")
	lastExportDesc = desc("otlp_last_success_timestamp_seconds", "Time of the last export that the collector accepted whole; 0 before the first.")
)

func collectExports(out chan<- prometheus.Metric, stats ExportStats) {
	for result, n := range stats.Results {
		counter(out, exportsDesc, n, result)
	}
	last := 0.0
	if !stats.LastSuccess.IsZero() {
		last = float64(stats.LastSuccess.UnixMilli()) / 1000
	}
	gauge(out, lastExportDesc, last)
}
