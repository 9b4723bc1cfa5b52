package metrics

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// What a scrape may cost.
const (
	maxScrapes    = 4                // at once; more are answered 503
	scrapeTimeout = 10 * time.Second // the default of Prometheus
)

// ServeHTTP answers a scrape, in the text format or in OpenMetrics as the client prefers. It is safe to serve many at once.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.scrape.ServeHTTP(w, request)
}

// newScrape returns what ServeHTTP calls. It is made once because it counts the scrapes in flight.
func (r *Recorder) newScrape() http.Handler {
	return promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes, // before gathering, so that a crowd costs nothing
		Timeout:             scrapeTimeout,
		ErrorHandling:       promhttp.ContinueOnError, // one bad series must not hide the others
		ErrorLog:            slog.NewLogLogger(r.options.Logger.Handler(), slog.LevelError),
	})
}

// Gather returns all families, sorted, as a scrape would.
func (r *Recorder) Gather() ([]*dto.MetricFamily, error) { return r.registry.Gather() }
