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

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate"
)

// Options are what a Recorder is made with.
type Options struct {
	Buckets          []float64 // upper bounds of the histogram in seconds, increasing
	NativeHistograms bool      // native buckets beside the classic ones
	// Commands is the table that gave the IDs. It stays the same while the Recorder lives, because IDs of extra commands differ between tables.
	Commands *command.Table
	Style    command.Style
	// NameOf returns the logical name of an ID. It is called from any goroutine.
	NameOf   func(correlate.NameID) string
	Version  string
	Revision string
	Logger   *slog.Logger // of scrapes that fail; not nil
}

// Recorder counts exchanges. See the package's documentation.
type Recorder struct {
	options  Options
	registry *prometheus.Registry
	families families

	// names holds the series of each name by NameID, nil until it is seen. It is replaced, never changed.
	names atomic.Pointer[[]*nameSeries]
	mu    sync.Mutex // serialises the replacement

	configReloaded prometheus.Gauge
	configTime     prometheus.Gauge
	scrape         http.Handler
}

// New returns a Recorder that has counted nothing.
func New(options Options) *Recorder {
	return newRecorder(options, prometheus.NewRegistry())
}

// newRecorder lets tests have a pedantic registry, which is slower.
func newRecorder(options Options, registry *prometheus.Registry) *Recorder {
	r := &Recorder{
		options:  options,
		registry: registry,
		families: newFamilies(options),
		configReloaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "redis_observer_config_last_reload_successful",
			Help: "Whether the configuration was valid when it was last read.",
		}),
		configTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "redis_observer_config_last_reload_success_timestamp_seconds",
			Help: "When a valid configuration was last read.",
		}),
	}
	r.names.Store(&[]*nameSeries{})
	r.scrape = r.newScrape()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "redis_observer_build_info",
		Help:        "What was built, by labels; the value is 1.",
		ConstLabels: prometheus.Labels{"version": options.Version, "revision": options.Revision, "goversion": runtime.Version()},
	})
	info.Set(1)
	r.registry.MustRegister(info, r.configReloaded, r.configTime,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.registry.MustRegister(r.families.all()...)
	return r
}

// Record counts what became of one command, or of several alike.
func (r *Recorder) Record(e *correlate.Exchange) {
	name, n := r.name(e.Name), float64(e.Count)
	if e.Outcome == correlate.Unpaired {
		name.unpaired.at(uint8(e.Reason)).Add(n)
		return
	}
	series := name.command(e.Command)
	switch e.Outcome {
	case correlate.Success:
		series.success.Add(n)
	case correlate.Silent:
		series.success.Add(n)
		name.silent.Add(n)
		return // there is no reply whose arrival could be timed
	case correlate.Error:
		series.fail(n)
		name.prefixes.at(uint8(e.Prefix)).Add(n)
	case correlate.Unanswered:
		name.unanswered.at(uint8(e.Reason)).Add(n)
		if e.Reason == correlate.ClientClosed {
			series.success.Add(n)
			return // the caller did not wait for it
		}
		series.fail(n)
	}
	series.duration.observe(e.Duration, e.Count)
}

// ConfigRead says that the configuration was read, at a time, and whether it was valid and is now in use.
func (r *Recorder) ConfigRead(valid bool, at time.Time) {
	if !valid {
		r.configReloaded.Set(0)
		return
	}
	r.configReloaded.Set(1)
	r.configTime.Set(float64(at.UnixMilli()) / 1000)
}

// name returns the series of a name.
func (r *Recorder) name(id correlate.NameID) *nameSeries {
	if names := *r.names.Load(); int(id) < len(names) && names[id] != nil {
		return names[id]
	}
	return r.addName(id)
}

// addName makes the series of a name that is seen for the first time.
func (r *Recorder) addName(id correlate.NameID) *nameSeries {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := *r.names.Load()
	if int(id) < len(names) && names[id] != nil {
		return names[id] // another goroutine was faster
	}
	grown := make([]*nameSeries, max(len(names), int(id)+1))
	copy(grown, names)
	grown[id] = newNameSeries(r, r.options.NameOf(id))
	r.names.Store(&grown)
	return grown[id]
}
