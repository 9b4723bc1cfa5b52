// Package otlp exports the metrics of a recorder to a collector, by the SDK of OpenTelemetry.
//
//	metrics.Recorder → producer → metric.PeriodicReader → exporter of OTLP → collector
//
// The recorder keeps all numbers, for /metrics. At each interval the producer gathers them as a
// scrape does, and converts them: under the names that they have in /metrics, or those of the
// semantic conventions of database clients. So an export costs what a scrape costs, the loop takes
// no part in it, and no second set of counters exists. All numbers are cumulative: an export that
// fails is made good by the next one.
//
// New checks options, and starts nothing. Start begins to export, in one goroutine. Nothing of this
// package waits for a collector but that goroutine and Shutdown, which ends with its context.
package otlp
