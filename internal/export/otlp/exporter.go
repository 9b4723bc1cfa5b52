package otlp

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/metric"
)

// Options configure an Exporter.
type Options struct {
	Endpoint string // http or https URL; with HTTP and without a path that of the specification is added
	GRPC     bool   // otherwise protobuf over HTTP
	Headers  map[string]string
	Interval time.Duration // between exports
	Timeout  time.Duration // of one export with its retries
	Gzip     bool
	TLS      *tls.Config // nil for http
	Version  string      // of the program

	// Gather returns all families of /metrics; with Semconv, those of metrics.Recorder.GatherByError.
	Gather func() ([]*dto.MetricFamily, error)
	// Semconv converts to the semantic conventions; nil: the families keep their names.
	Semconv *Semconv
	Logger  *slog.Logger
}

// maxPoints is how many data points go into one request. A point of a histogram has 400 bytes with 17
// bounds, and 2 KiB with 100 bounds and long labels; collectors take 4 MiB by default.
const maxPoints = 1000

// Exporter exports to one collector.
type Exporter struct {
	options  Options
	exporter *counting
	provider *metric.MeterProvider // nil before Start
}

// New returns an Exporter that has not begun.
func New(ctx context.Context, options Options) (*Exporter, error) {
	endpoint, err := url.Parse(options.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("export to the collector: %w", err)
	}
	open := openHTTP
	if options.GRPC {
		open = openGRPC
	}
	inner, answer, err := open(ctx, endpoint, &options)
	if err != nil {
		return nil, fmt.Errorf("export to %s: %w", endpoint.Redacted(), err)
	}
	// What the SDK itself has to say. Its results are counted.
	otel.SetLogger(logr.FromSlogHandler(options.Logger.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { options.Logger.Warn("export of metrics", "error", err) }))
	return &Exporter{options: options, exporter: &counting{Exporter: inner, answer: answer, logger: options.Logger, endpoint: endpoint.Redacted()}}, nil
}

// Start begins to export. The first export follows after an interval.
func (e *Exporter) Start(ctx context.Context) {
	reader := metric.NewPeriodicReader(e.exporter,
		metric.WithInterval(e.options.Interval),
		metric.WithTimeout(e.options.Timeout),
		metric.WithMaxExportBatchSize(maxPoints),
		metric.WithProducer(newProducer(&e.options)))
	e.provider = metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(describe(ctx, &e.options)))
}

// Shutdown exports a last time, if it has begun, and ends. It returns when ctx ends at the latest.
func (e *Exporter) Shutdown(ctx context.Context) error {
	if e.provider == nil {
		return e.exporter.Shutdown(ctx)
	}
	return e.provider.Shutdown(ctx)
}

// Stats returns the results of all exports by now.
func (e *Exporter) Stats() Stats { return e.exporter.stats() }
