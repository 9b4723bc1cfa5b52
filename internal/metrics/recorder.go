package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Options configure a Recorder.
type Options struct {
	Buckets          []float64 // upper bounds of the histogram in seconds, increasing
	NativeHistograms bool      // native buckets beside the classic ones
	DurationsByError bool      // keep the durations of failures apart, for GatherByError; /metrics has the sums
	// Commands is the table of the IDs in Exchanges. It must not change, because the IDs of extra
	// commands differ between tables.
	Commands *command.Table
	Style    command.Style
	// Identities is the registry of the IDs in Exchanges and Pools. Its labels are the first labels
	// of all families by identity.
	Identities *identity.Registry
	Version    string
	Revision   string
	Logger     *slog.Logger // for failed scrapes; required
}

// Recorder counts Exchanges and serves metrics. See the package documentation.
type Recorder struct {
	options  Options
	registry *prometheus.Registry
	byError  *prometheus.Registry // the same with the durations by failure; nil unless options.DurationsByError
	families *families

	// series are indexed by the slot of the identity, nil before its first Exchange. The slice is
	// copied on write.
	series atomic.Pointer[[]*identitySeries]
	mu     sync.Mutex // guards writes to series

	configReloaded prometheus.Gauge
	configTime     prometheus.Gauge
	scrape         http.Handler
	behind         atomic.Pointer[func()]  // Sources.CatchUp; nil without one
	watched        atomic.Pointer[watched] // nil before Watch
	losses         losses
}

// New returns an empty Recorder.
func New(options Options) *Recorder {
	return newRecorder(options, prometheus.NewRegistry())
}

// newRecorder lets tests use a pedantic registry, which is slower.
func newRecorder(options Options, registry *prometheus.Registry) *Recorder {
	r := &Recorder{
		options:  options,
		registry: registry,
		families: newFamilies(options),
		configReloaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "redis_observer_config_last_reload_successful",
			Help: "Whether the last read of the configuration succeeded (1) or failed (0).",
		}),
		configTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "redis_observer_config_last_reload_success_timestamp_seconds",
			Help: "Time of the last successful read of the configuration.",
		}),
	}
	r.losses.noted = map[lossCounter]*lossNote{}
	r.series.Store(&[]*identitySeries{})
	r.scrape = r.newScrape()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "redis_observer_build_info",
		Help:        "Version, revision and Go version of this build. The value is always 1.",
		ConstLabels: prometheus.Labels{"version": options.Version, "revision": options.Revision, "goversion": runtime.Version()},
	})
	info.Set(1)
	r.registry.MustRegister(r.families.durations)
	if options.DurationsByError {
		r.byError = prometheus.NewRegistry()
		r.byError.MustRegister(r.families.durations.byFailure())
	}
	r.register(info, r.configReloaded, r.configTime,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.register(r.families.others()...)
	return r
}

// register registers what Gather and GatherByError return alike.
func (r *Recorder) register(alike ...prometheus.Collector) {
	r.registry.MustRegister(alike...)
	if r.byError != nil {
		r.byError.MustRegister(alike...)
	}
}

// Record counts one command, or several equal ones.
func (r *Recorder) Record(e *session.Exchange) {
	who, n := r.find(e.Identity), float64(e.Count)
	if who == nil {
		who = r.add(e.Identity)
	}
	if e.Outcome == session.Unpaired {
		who.unpaired.at(uint8(e.Reason)).Add(n)
		r.losses.unpaired[e.Reason].Add(uint64(e.Count))
		return
	}
	series := who.commands[e.Command].Load()
	if series == nil {
		series = who.addCommand(e.Command)
	}
	series.sum.add(e)
	switch e.Outcome {
	case session.Success:
		series.success.Add(n)
	case session.Silent:
		series.success.Add(n)
		who.silent.Add(n)
		return // without a reply there is no duration
	case session.Error:
		series.fail(n)
		series.errorReplies.at(uint8(e.Prefix)).Add(n)
		who.prefixes.at(uint8(e.Prefix)).Add(n)
	case session.Unanswered:
		who.unanswered.at(uint8(e.Reason)).Add(n)
		if e.Reason == session.ClientClosed {
			r.losses.givenUp.Add(uint64(e.Count))
			series.success.Add(n)
			return // the client did not wait, so there is no duration
		}
		series.fail(n)
	}
	if e.Duration >= 0 {
		series.observe(e)
	}
}

// ConfigRead records the time and the success of a read of the configuration.
func (r *Recorder) ConfigRead(valid bool, at time.Time) {
	if !valid {
		r.configReloaded.Set(0)
		return
	}
	r.configReloaded.Set(1)
	r.configTime.Set(float64(at.UnixMilli()) / 1000)
}

// find returns the series of an identity, nil if there are none.
func (r *Recorder) find(id identity.ID) *identitySeries {
	if all, slot := *r.series.Load(), id.Slot(); slot < len(all) && all[slot] != nil && all[slot].id == id {
		return all[slot]
	}
	return nil
}

// Commands returns how many commands of an identity have completed, 0 once it has ended.
func (r *Recorder) Commands(id identity.ID, c command.ID) uint64 {
	who := r.find(id)
	if who == nil {
		return 0
	}
	series := who.commands[c].Load()
	if series == nil {
		return 0
	}
	n := 0.0
	for _, counter := range []prometheus.Counter{series.success, series.failure} {
		var value dto.Metric
		if err := counter.Write(&value); err == nil { // it never fails
			n += value.GetCounter().GetValue()
		}
	}
	return uint64(n)
}

// Recorded reports whether anything was recorded under an identity.
func (r *Recorder) Recorded(id identity.ID) bool { return r.find(id) != nil }

// of returns the series of an identity, new ones if there are none yet. Record, which is called for
// each command, does the same in place: this is no function that the compiler inlines.
func (r *Recorder) of(id identity.ID) *identitySeries {
	if found := r.find(id); found != nil {
		return found
	}
	return r.add(id)
}

// add creates the series of an identity.
func (r *Recorder) add(id identity.ID) *identitySeries {
	r.mu.Lock()
	defer r.mu.Unlock()
	if found := r.find(id); found != nil {
		return found // added concurrently
	}
	values, found := r.options.Identities.Values(id)
	if !found {
		panic("metrics: an exchange of an identity that was released")
	}
	added := newIdentitySeries(r, id, values)
	r.put(id.Slot(), added)
	return added
}

// put replaces the series in a slot. The caller must hold mu.
func (r *Recorder) put(slot int, replacement *identitySeries) {
	old := *r.series.Load()
	all := make([]*identitySeries, max(len(old), slot+1))
	copy(all, old)
	all[slot] = replacement
	r.series.Store(&all)
}

// End removes all series of an identity. The caller must not record the identity during or after
// the call.
func (r *Recorder) End(id identity.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ended := r.find(id); ended != nil {
		r.put(id.Slot(), nil)
		r.families.end(ended)
	}
}
