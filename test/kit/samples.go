package kit

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"io"
)

// Samples is one scrape: the value of each series, by family and sorted labels, as in redis_pool_connections{name=a,state=in_use}; of a
// histogram the count.
type Samples map[string]float64

// ReadSamples reads a scrape in the text format.
func ReadSamples(r io.Reader) (Samples, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(r)
	if err != nil {
		return nil, err
	}
	s := make(Samples)
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			slices.Sort(labels)
			s[name+"{"+strings.Join(labels, ",")+"}"] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() +
				float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return s, nil
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
func (s Samples) Losses() []string {
	var lost []string
	for _, key := range slices.Sorted(maps.Keys(s)) {
		family, labels := split(key)
		harmless := family == "redis_observer_gaps_total" && !slices.Contains(labels, "effect=broken")
		if s[key] != 0 && slices.Contains(lossFamilies, family) && !harmless {
			lost = append(lost, key)
		}
	}
	return lost
}

func split(key string) (family string, labels []string) {
	family, rest, _ := strings.Cut(strings.TrimSuffix(key, "}"), "{")
	return family, strings.Split(rest, ",")
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}
