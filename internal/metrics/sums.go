package metrics

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// sums are counters of integers by identity and command. A counter of the library takes a call and
// a float for each addition, and most commands have none to nils.
type sums struct {
	descs [summed]*prometheus.Desc

	mu       sync.Mutex // guards children
	children map[seriesKey]*sum
}

// seriesKey is an identity and a command label.
type seriesKey struct {
	id      identity.ID
	command string
}

// What is summed. The first two have a series as soon as their command has one.
const (
	requestBytes = iota
	responseBytes
	nilReplies
	nilElements
	summed
)

// sum is what was summed of one command of one identity.
type sum struct {
	labels  []string // their values
	created time.Time
	values  [summed]atomic.Uint64
}

var _ prometheus.Collector = (*sums)(nil)

func newSums(labels []string) *sums {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, with(labels, "command"), nil)
	}
	return &sums{
		descs: [summed]*prometheus.Desc{
			requestBytes:  desc("redis_command_request_bytes_total", "Bytes of the requests of commands, as sent on the wire."),
			responseBytes: desc("redis_command_response_bytes_total", "Bytes of the replies to commands, as received on the wire."),
			nilReplies:    desc("redis_command_nil_replies_total", "Replies that are null."),
			nilElements:   desc("redis_command_nil_elements_total", "Null elements of replies that are arrays."),
		},
		children: make(map[seriesKey]*sum),
	}
}

// of returns the sum of an identity and a command label. Equal pairs share it.
func (s *sums) of(i *identitySeries, command string) *sum {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := seriesKey{i.id, command}
	if s.children[key] == nil {
		s.children[key] = &sum{labels: with(i.values, command), created: time.Now()}
	}
	return s.children[key]
}

// end removes the sums of an identity.
func (s *sums) end(i *identitySeries) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.children, func(key seriesKey, _ *sum) bool { return key.id == i.id })
}

// Describe implements prometheus.Collector.
func (s *sums) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range s.descs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (s *sums) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, child := range s.children {
		for i := range child.values {
			if n := child.values[i].Load(); n > 0 || i < nilReplies {
				out <- prometheus.MustNewConstMetricWithCreatedTimestamp(s.descs[i], prometheus.CounterValue, float64(n), child.created, child.labels...)
			}
		}
	}
}

// add adds what an Exchange weighs.
func (s *sum) add(e *session.Exchange) {
	s.values[requestBytes].Add(e.RequestBytes)
	s.values[responseBytes].Add(e.ResponseBytes)
	if e.Nils|e.NilElements != 0 {
		s.values[nilReplies].Add(uint64(e.Nils))
		s.values[nilElements].Add(uint64(e.NilElements))
	}
}
