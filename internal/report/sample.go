package report

import (
	"math"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Key identifies a row. A field that the rows are not separated by is empty.
type Key struct {
	Node    string // address of the observer
	Name    string
	Labels  string // further labels of the identity: "k=v, k=v"
	Command string
}

// Pool holds the connections of a name.
type Pool struct {
	InUse     float64 `json:"in_use"`
	Available float64 `json:"available"`
}

// Sample is one scrape of one observer. It must not change once it is made.
type Sample struct {
	Node    string
	At      time.Time // of the scrape
	Started time.Time // of the observer; zero if unknown
	Backend string    // capture backend; "" if unknown
	Version string

	commands map[Key]*tally
	pools    map[Key]Pool
	losses   map[cause]float64
	spans    map[cause]*span // when each was lost last, if the observer says it
	episodes float64         // in which something was lost; 0 if the observer does not say it
	events   float64         // read by the backend
	total    float64         // commands
}

// tally holds the counters of one command.
type tally struct {
	count, errors float64
	seconds       float64  // sum of the durations
	buckets       []bucket // of the durations
}

// bucket counts the durations up to a bound, in seconds.
type bucket struct{ bound, count float64 }

// NewSample returns the sample of a scrape of an observer that finished at a time.
func NewSample(node string, at time.Time, families []*dto.MetricFamily) *Sample {
	s := &Sample{Node: node, At: at, commands: map[Key]*tally{}, pools: map[Key]Pool{}, losses: map[cause]float64{}, spans: map[cause]*span{}}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			s.add(family.GetName(), metric)
		}
	}
	return s
}

func (s *Sample) add(family string, metric *dto.Metric) {
	key, other := s.keyOf(metric)
	switch family {
	case "redis_commands_total":
		s.tally(key).count += metric.GetCounter().GetValue()
		s.total += metric.GetCounter().GetValue()
	case "redis_command_errors_total":
		s.tally(key).errors += metric.GetCounter().GetValue()
	case "redis_command_duration_seconds":
		t := s.tally(key)
		t.seconds, t.buckets = metric.GetHistogram().GetSampleSum(), bucketsOf(metric.GetHistogram())
	case "redis_pool_connections":
		pool := s.pools[key]
		if other["state"] == "in_use" {
			pool.InUse = metric.GetGauge().GetValue()
		} else {
			pool.Available = metric.GetGauge().GetValue()
		}
		s.pools[key] = pool
	case "redis_observer_capture_events_total":
		s.events = metric.GetCounter().GetValue()
	case "redis_observer_last_loss_timestamp_seconds":
		in, at := s.span(other["counter"], other["reason"]), time.UnixMilli(int64(math.Round(metric.GetGauge().GetValue()*1e3)))
		if other["edge"] == "begin" {
			in.from = at
		} else {
			in.to = at
		}
	case "redis_observer_last_loss_count":
		s.span(other["counter"], other["reason"]).count = metric.GetGauge().GetValue()
	case "redis_observer_last_loss_ratio":
		s.span("capture_lost_events", other["reason"]).ratio = metric.GetGauge().GetValue()
	case "redis_observer_loss_episodes_total":
		s.episodes = metric.GetCounter().GetValue()
	case "redis_observer_capture_info":
		s.Backend = other["backend"]
	case "redis_observer_build_info":
		s.Version = other["version"]
	case "process_start_time_seconds":
		s.Started = time.UnixMilli(int64(metric.GetGauge().GetValue() * 1e3))
	default:
		if c, found := causeOf(family, other); found {
			s.losses[c] += metric.GetCounter().GetValue()
		}
	}
}

// apart are the labels that are no part of an identity.
var apart = []string{"status", "state", "reason", "effect", "prefix", "backend", "version", "kind", "revision", "goversion", "counter", "edge"}

// keyOf returns the key of a metric, and its labels that are no part of it.
func (s *Sample) keyOf(metric *dto.Metric) (key Key, other map[string]string) {
	other = map[string]string{}
	key.Node = s.Node
	var further []string
	for _, label := range metric.GetLabel() {
		switch name := label.GetName(); {
		case name == "name":
			key.Name = label.GetValue()
		case name == "command":
			key.Command = label.GetValue()
		case slices.Contains(apart, name):
			other[name] = label.GetValue()
		default:
			further = append(further, name+"="+label.GetValue())
		}
	}
	slices.Sort(further)
	key.Labels = strings.Join(further, ", ")
	return key, other
}

func (s *Sample) tally(key Key) *tally {
	if s.commands[key] == nil {
		s.commands[key] = new(tally)
	}
	return s.commands[key]
}

// span returns when a counter grew last, for more to be said of it.
func (s *Sample) span(family, reason string) *span {
	c := cause{family, reason}
	if s.spans[c] == nil {
		s.spans[c] = new(span)
	}
	return s.spans[c]
}

// restarted reports whether the observer of before is not that of s.
func (s *Sample) restarted(before *Sample) bool {
	return !s.Started.Equal(before.Started)
}

func bucketsOf(h *dto.Histogram) []bucket {
	var list []bucket
	for _, b := range h.GetBucket() {
		list = append(list, bucket{b.GetUpperBound(), float64(b.GetCumulativeCount())})
	}
	if last := len(list) - 1; last < 0 || !math.IsInf(list[last].bound, 1) {
		list = append(list, bucket{math.Inf(1), float64(h.GetSampleCount())})
	}
	return list
}

// plus adds the counters of another tally.
func (t *tally) plus(other *tally) *tally {
	return &tally{t.count + other.count, t.errors + other.errors, t.seconds + other.seconds, combine(t.buckets, other.buckets, 1)}
}

// minus subtracts an earlier tally, nil for none.
func (t *tally) minus(before *tally) *tally {
	if before == nil || before.count > t.count { // the identity was removed meanwhile and is new
		return t
	}
	return &tally{t.count - before.count, t.errors - before.errors, t.seconds - before.seconds, combine(t.buckets, before.buckets, -1)}
}

// combine adds the counts of the bounds that both have, those of the second times a factor. Nodes
// with different bounds have only some of them in common.
func combine(a, b []bucket, factor float64) []bucket {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	counts := make(map[float64]float64, len(b))
	for _, other := range b {
		counts[other.bound] = other.count
	}
	var list []bucket
	for _, one := range a {
		if count, found := counts[one.bound]; found {
			list = append(list, bucket{one.bound, one.count + factor*count})
		}
	}
	return list
}
