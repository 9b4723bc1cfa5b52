package otlp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Results of a request, with its retries.
const (
	success  = "success"
	rejected = "rejected" // the collector answered that it does not take the metrics, or not all of them
	timedOut = "timeout"  // no answer in time
	failed   = "failed"   // not reached, or it answered that it cannot take them now
)

// Stats are the results of all exports. See metrics.ExportStats.
type Stats struct {
	Results     map[string]uint64
	LastSuccess time.Time
}

// counting counts the results of an exporter and logs when they change. Its Export returns no
// error: all is said.
type counting struct {
	metric.Exporter
	answer   *lastStatus // nil with gRPC
	logger   *slog.Logger
	endpoint string

	mu          sync.Mutex // guards what follows
	results     map[string]uint64
	lastSuccess time.Time
	last        string // result of the last export
}

// Export implements metric.Exporter.
func (c *counting) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	err := c.Exporter.Export(ctx, metrics)
	if err != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return nil // the end: a last export follows
	}
	httpStatus := 0
	if c.answer != nil {
		httpStatus = int(c.answer.status.Load())
	}
	result := resultOf(ctx, err, httpStatus)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.results == nil {
		c.results = map[string]uint64{}
	}
	c.results[result]++
	switch {
	case result == c.last:
	case result != success:
		c.logger.Warn("metrics cannot be exported; all of them go with the next export that succeeds", "endpoint", c.endpoint, "result", result, "error", err)
	case c.last == "":
		c.logger.Info("metrics are exported", "endpoint", c.endpoint)
	default:
		c.logger.Info("metrics are exported again", "endpoint", c.endpoint)
	}
	if c.last = result; result == success {
		c.lastSuccess = time.Now()
	}
	return nil
}

// stats returns the results. All of them have a count, so that rate() includes the first.
func (c *counting) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := Stats{Results: map[string]uint64{}, LastSuccess: c.lastSuccess}
	for _, result := range []string{success, rejected, timedOut, failed} {
		stats.Results[result] = c.results[result]
	}
	return stats
}

// resultOf returns the result of an export from its error. status is that of the last answer by HTTP,
// 0 without one.
func resultOf(ctx context.Context, err error, httpStatus int) string {
	if err == nil {
		return success
	}
	if code := status.Code(err); code != codes.Unknown {
		return resultOfGRPC(code)
	}
	var timeout net.Error
	switch {
	case httpStatus == http.StatusTooManyRequests, httpStatus == http.StatusRequestTimeout, httpStatus >= 500:
		return failed
	case httpStatus != 0:
		return rejected
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return timedOut
	case strings.Contains(err.Error(), partial): // of an answer by gRPC; its type is internal to the SDK
		return rejected
	}
	return failed
}

const partial = "OTLP partial success"

func resultOfGRPC(code codes.Code) string {
	switch code {
	case codes.DeadlineExceeded:
		return timedOut
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.FailedPrecondition,
		codes.OutOfRange, codes.Unimplemented, codes.Unauthenticated:
		return rejected
	}
	return failed
}

// lastStatus keeps the status of the last answer by HTTP, which the SDK has only as text.
type lastStatus struct {
	http.RoundTripper
	status atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (l *lastStatus) RoundTrip(request *http.Request) (*http.Response, error) {
	l.status.Store(0)
	response, err := l.RoundTripper.RoundTrip(request)
	if err == nil {
		l.status.Store(int64(response.StatusCode))
	}
	return response, err
}
