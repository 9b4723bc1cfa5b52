package metrics

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// ServeHTTP serves a scrape in the text format or in OpenMetrics, as the client prefers. It is safe
// for concurrent use. The server limits concurrency and slow readers.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.scrape.ServeHTTP(w, request)
}

// newScrape returns the handler of ServeHTTP.
func (r *Recorder) newScrape() http.Handler {
	return promhttp.HandlerFor(prometheus.GathererFunc(r.Gather), promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		ErrorHandling:     promhttp.ContinueOnError, // one bad series must not hide the others
		ErrorLog:          slog.NewLogLogger(r.options.Logger.Handler(), slog.LevelError),
	})
}

// Gather returns all families, sorted, as in a scrape.
func (r *Recorder) Gather() ([]*dto.MetricFamily, error) {
	r.catchUp()
	return r.registry.Gather()
}

// GatherByError returns what Gather does, but the durations with a further label, error: the prefix of
// the error reply, why there was no reply, or nothing. It needs Options.DurationsByError.
func (r *Recorder) GatherByError() ([]*dto.MetricFamily, error) {
	r.catchUp()
	return r.byError.Gather()
}

// catchUp makes what happened before a scrape part of it.
func (r *Recorder) catchUp() {
	if f := r.behind.Load(); f != nil {
		(*f)()
	}
}
