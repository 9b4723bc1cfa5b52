package metrics

import "github.com/prometheus/client_golang/prometheus"

// LabelStats are the counters of the sets of label values.
type LabelStats struct {
	Sets     int
	Overflow uint64            // connections beyond the maximum number of sets
	Unknown  map[string]uint64 // connections whose value was not found, by label
}

var (
	labelSetsDesc     = desc("label_sets", "Sets of values of the labels of metrics.labels.")
	labelOverflowDesc = desc("label_overflow_total", "Connections labelled other, because there were metrics.max_label_sets sets.")
	labelUnknownDesc  = desc("label_unknown_total", "Connections labelled unknown, by label.", "label")
)

func collectLabels(out chan<- prometheus.Metric, stats LabelStats) {
	gauge(out, labelSetsDesc, float64(stats.Sets))
	counter(out, labelOverflowDesc, stats.Overflow)
	for label, n := range stats.Unknown {
		counter(out, labelUnknownDesc, n, label)
	}
}
