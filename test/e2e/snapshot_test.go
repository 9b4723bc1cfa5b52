package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
)

// snapshot is one scrape: the value of each series, by family and labels as in `redis_pool_connections{name=a,state=in_use}`;
// of a histogram the count.
type snapshot map[string]float64

func newSnapshot(families map[string]*dto.MetricFamily) snapshot {
	s := make(snapshot)
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			s[series(name, labels...)] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() +
				float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return s
}

func series(family string, labels ...string) string {
	slices.Sort(labels)
	return family + "{" + strings.Join(labels, ",") + "}"
}

// value returns one series, 0 if it does not exist.
func (s snapshot) value(family string, labels ...string) int {
	return int(s[series(family, labels...)])
}

// sum adds the series of a family that have all of some labels.
func (s snapshot) sum(family string, labels ...string) int {
	total := 0.0
	for key, value := range s {
		if of, has := splitSeries(key); of == family && containsAll(has, labels) {
			total += value
		}
	}
	return int(total)
}

func splitSeries(key string) (family string, labels []string) {
	family, rest, _ := strings.Cut(strings.TrimSuffix(key, "}"), "{")
	return family, strings.Split(rest, ",")
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// label returns the value of a label, "" if there is none.
func label(labels []string, name string) string {
	for _, l := range labels {
		if value, found := strings.CutPrefix(l, name+"="); found {
			return value
		}
	}
	return ""
}

// counts are numbers of commands by label, without those that are 0.
type counts map[string]int

// commands returns the commands counted under a name, by command.
func (s snapshot) commands(name string) counts {
	c := make(counts)
	for key, value := range s {
		family, labels := splitSeries(key)
		if family == "redis_commands_total" && label(labels, "name") == name && value > 0 {
			c[label(labels, "command")] += int(value)
		}
	}
	return c
}

// since returns what was counted since an earlier moment.
func (c counts) since(before counts) counts {
	d := make(counts)
	for command, n := range c {
		if n -= before[command]; n != 0 {
			d[command] = n
		}
	}
	return d
}

func (c counts) total() int {
	total := 0
	for _, n := range c {
		total += n
	}
	return total
}

// lossFamilies are the counters that say a number may not be exact.
var lossFamilies = []string{
	"redis_observer_capture_lost_events_total", "redis_observer_unpaired_commands_total", "redis_observer_evicted_connections_total",
	"redis_observer_lost_connections_total", "redis_observer_held_overflow_total", "redis_observer_unsolicited_replies_total",
	"redis_observer_protocol_errors_total", "redis_observer_unexecuted_commands_total",
}

// losses returns the series of loss that are not 0.
func (s snapshot) losses() counts {
	lost := make(counts)
	for key, value := range s {
		family, labels := splitSeries(key)
		loss := slices.Contains(lossFamilies, family) ||
			family == "redis_observer_gaps_total" && label(labels, "effect") == "broken"
		if loss && value != 0 {
			lost[key] = int(value)
		}
	}
	return lost
}

// assertExact checks that nothing was lost and that the families agree with each other.
func assertExact(tb testing.TB, s snapshot) {
	tb.Helper()
	assert.Empty(tb, s.losses(), "counters of loss")
	assert.Equal(tb, s.sum("redis_commands_total"),
		s.sum("redis_command_duration_seconds")+s.sum("redis_observer_silent_commands_total")+
			s.sum("redis_observer_unanswered_commands_total", "reason=client_closed"), "durations")
	assert.Equal(tb, s.sum("redis_commands_total", "status=error"), s.sum("redis_command_errors_total"), "errors")
}

// String lists the series of Redis and of loss that are not 0.
func (s snapshot) String() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if strings.HasPrefix(key, "redis_") && s[key] != 0 {
			fmt.Fprintf(&b, "%s %v\n", key, s[key])
		}
	}
	return b.String()
}
