package kit

import (
	"io"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Samples is one scrape: the value of each series, by family and sorted labels, as in
// redis_pool_connections{name=a,state=in_use}. A histogram has its count under its name, and its sum under that with _sum.
type Samples map[string]float64

// ReadSamples reads a scrape in the text format.
func ReadSamples(r io.Reader) (Samples, error) {
	families, err := readFamilies(r)
	return flatten(families), err
}

func readFamilies(r io.Reader) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(r)
}

func flatten(families map[string]*dto.MetricFamily) Samples {
	s := make(Samples)
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			slices.Sort(labels)
			series := "{" + strings.Join(labels, ",") + "}"
			s[name+series] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			if metric.GetHistogram() != nil {
				s[name+"_sum"+series] = metric.GetHistogram().GetSampleSum()
			}
		}
	}
	return s
}

// Sum adds the series of a family that have all of some labels, each as in "name=a".
func (s Samples) Sum(family string, labels ...string) float64 {
	total := 0.0
	for key, value := range s {
		if of, has := split(key); of == family && containsAll(has, labels) {
			total += value
		}
	}
	return total
}

// By returns the sums of a family's series that have all of some labels, by the value of one more label.
func (s Samples) By(label, family string, labels ...string) map[string]float64 {
	sums := make(map[string]float64)
	for key, value := range s {
		of, has := split(key)
		if of != family || !containsAll(has, labels) {
			continue
		}
		for _, l := range has {
			if v, found := strings.CutPrefix(l, label+"="); found {
				sums[v] += value
			}
		}
	}
	return sums
}

// lossFamilies are the counters that say a number may not be exact.
var lossFamilies = []string{
	"redis_observer_capture_lost_events_total", "redis_observer_unpaired_commands_total", "redis_observer_evicted_connections_total",
	"redis_observer_lost_connections_total", "redis_observer_held_overflow_total", "redis_observer_unsolicited_replies_total",
	"redis_observer_protocol_errors_total", "redis_observer_unexecuted_commands_total", "redis_observer_gaps_total",
}

// Losses returns the series that say a number may not be exact and are not 0, sorted.
func (s Samples) Losses() []string { return s.Nonzero(lossFamilies...) }

// Nonzero returns the series of some families that are not 0, sorted. Of redis_observer_gaps_total only those count whose effect is
// broken: other gaps lose no command.
func (s Samples) Nonzero(families ...string) []string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(s)) {
		family, labels := split(key)
		harmless := family == "redis_observer_gaps_total" && !slices.Contains(labels, "effect=broken")
		if s[key] != 0 && slices.Contains(families, family) && !harmless {
			found = append(found, key)
		}
	}
	return found
}

func split(key string) (family string, labels []string) {
	family, rest, _ := strings.Cut(strings.TrimSuffix(key, "}"), "{")
	return family, strings.Split(rest, ",")
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}
