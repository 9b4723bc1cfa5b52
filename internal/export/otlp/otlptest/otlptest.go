// Package otlptest has a collector for tests: it receives metrics by OTLP and keeps their numbers.
package otlptest

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // registers the compressor
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Answer is what a Collector does with a request.
type Answer int

// Answers.
const (
	Accept      Answer = iota
	Hang               // none, until the client gives up
	Unavailable        // by gRPC UNAVAILABLE, by HTTP 503
	Refuse             // by gRPC INVALID_ARGUMENT, by HTTP 400
	Partial            // one data point is rejected
)

// Collector is a running collector. Its methods are safe for concurrent use.
type Collector struct {
	collector.UnimplementedMetricsServiceServer
	Address string // host:port

	mu       sync.Mutex // guards what follows
	answer   Answer
	requests int
	headers  map[string][]string // of the last request
	size     int                 // of the greatest request
	resource map[string]string
	points   map[string]*point
}

// point is one data point and when it came.
type point struct {
	name       string
	attributes map[string]string
	metric     *pb.Metric
	histogram  *pb.HistogramDataPoint
	number     *pb.NumberDataPoint
	summary    *pb.SummaryDataPoint
	exponent   *pb.ExponentialHistogramDataPoint
}

// Start starts a collector at an address, "" for any free port, which ends with the test. With a
// certificate it takes TLS alone.
func Start(tb testing.TB, useGRPC bool, address string, secure *tls.Config) *Collector {
	tb.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	require.NoError(tb, err)
	c := &Collector{Address: listener.Addr().String(), points: map[string]*point{}}
	if useGRPC {
		var options []grpc.ServerOption
		if secure != nil {
			options = append(options, grpc.Creds(credentials.NewTLS(secure)))
		}
		server := grpc.NewServer(options...)
		collector.RegisterMetricsServiceServer(server, c)
		go func() { _ = server.Serve(listener) }() // ends with Stop
		tb.Cleanup(server.Stop)
		return c
	}
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	server := &http.Server{Handler: c}
	go func() { _ = server.Serve(listener) }() // ends with Close
	tb.Cleanup(func() { _ = server.Close() })
	return c
}

// Set sets the answer to further requests.
func (c *Collector) Set(answer Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

// Export implements the service of gRPC.
func (c *Collector) Export(ctx context.Context, request *collector.ExportMetricsServiceRequest) (*collector.ExportMetricsServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	response := &collector.ExportMetricsServiceResponse{}
	switch c.begin(headers) {
	case Hang:
		<-ctx.Done()
		return nil, ctx.Err()
	case Unavailable:
		return nil, status.Error(codes.Unavailable, "not now")
	case Refuse:
		return nil, status.Error(codes.InvalidArgument, "never")
	case Partial:
		response.PartialSuccess = &collector.ExportMetricsPartialSuccess{RejectedDataPoints: 1, ErrorMessage: "one too many"}
	}
	c.take(request)
	return response, nil
}

// ServeHTTP implements the service of HTTP.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/metrics" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.NotFound(w, r)
		return
	}
	headers := map[string][]string{}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = values
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	response, request := &collector.ExportMetricsServiceResponse{}, &collector.ExportMetricsServiceRequest{}
	text, err := io.ReadAll(body)
	if err == nil {
		err = proto.Unmarshal(text, request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch c.begin(headers) {
	case Hang:
		<-r.Context().Done()
		return
	case Unavailable:
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	case Refuse:
		http.Error(w, "never", http.StatusBadRequest)
		return
	case Partial:
		response.PartialSuccess = &collector.ExportMetricsPartialSuccess{RejectedDataPoints: 1, ErrorMessage: "one too many"}
	}
	c.take(request)
	w.Header().Set("Content-Type", "application/x-protobuf")
	answer, _ := proto.Marshal(response) // it has no invalid text
	_, _ = w.Write(answer)               // the client may have left
}

func (c *Collector) begin(headers map[string][]string) Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.headers = headers
	return c.answer
}

// Requests returns how many requests came, whatever the answer was.
func (c *Collector) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// Header returns a header of the last request.
func (c *Collector) Header(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.headers[name], ",")
}

// MaxSize returns the size of the greatest request that was accepted, in bytes.
func (c *Collector) MaxSize() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// Resource returns what the metrics are of.
func (c *Collector) Resource() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.resource)
}

func (c *Collector) take(request *collector.ExportMetricsServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size = max(c.size, proto.Size(request))
	for _, resource := range request.GetResourceMetrics() {
		c.resource = attributes(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeMetrics() {
			for _, metric := range scope.GetMetrics() {
				c.keep(metric)
			}
		}
	}
}

func (c *Collector) keep(metric *pb.Metric) {
	put := func(labels []*common.KeyValue, p point) {
		p.name, p.metric, p.attributes = metric.GetName(), metric, attributes(labels)
		c.points[series(p.name, p.attributes)] = &p
	}
	for _, p := range metric.GetSum().GetDataPoints() {
		put(p.GetAttributes(), point{number: p})
	}
	for _, p := range metric.GetGauge().GetDataPoints() {
		put(p.GetAttributes(), point{number: p})
	}
	for _, p := range metric.GetHistogram().GetDataPoints() {
		put(p.GetAttributes(), point{histogram: p})
	}
	for _, p := range metric.GetExponentialHistogram().GetDataPoints() {
		put(p.GetAttributes(), point{exponent: p})
	}
	for _, p := range metric.GetSummary().GetDataPoints() {
		put(p.GetAttributes(), point{summary: p})
	}
}

// Metric returns the last metric of a name, nil if none came.
func (c *Collector) Metric(name string) *pb.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.points {
		if p.name == name {
			return p.metric
		}
	}
	return nil
}

// Values returns the last number of each series: of histograms and summaries _count and _sum, and of
// histograms with explicit bounds the cumulative _bucket.
func (c *Collector) Values() map[string]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	values := map[string]float64{}
	for _, p := range c.points {
		p.numbers(func(name string, labels map[string]string, value float64) { values[series(name, labels)] = value })
	}
	return values
}

// Sum returns the sum of the series of a name that have all attributes, as name=value.
func (c *Collector) Sum(name string, of ...string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0.0
	for _, p := range c.points {
		if !strings.HasPrefix(name, p.name) {
			continue
		}
		p.numbers(func(own string, labels map[string]string, value float64) {
			if own == name && !slices.ContainsFunc(of, func(l string) bool { k, v, _ := strings.Cut(l, "="); return labels[k] != v }) {
				sum += value
			}
		})
	}
	return sum
}

// numbers calls yield with each number of a point.
func (p *point) numbers(yield func(name string, labels map[string]string, value float64)) {
	switch {
	case p.number != nil:
		yield(p.name, p.attributes, p.number.GetAsDouble()+float64(p.number.GetAsInt()))
	case p.summary != nil:
		yield(p.name+"_count", p.attributes, float64(p.summary.GetCount()))
		yield(p.name+"_sum", p.attributes, p.summary.GetSum())
	case p.exponent != nil:
		yield(p.name+"_count", p.attributes, float64(p.exponent.GetCount()))
		yield(p.name+"_sum", p.attributes, p.exponent.GetSum())
	default:
		yield(p.name+"_count", p.attributes, float64(p.histogram.GetCount()))
		yield(p.name+"_sum", p.attributes, p.histogram.GetSum())
		count := uint64(0)
		for i, n := range p.histogram.GetBucketCounts() {
			count += n
			le := "+Inf"
			if i < len(p.histogram.GetExplicitBounds()) {
				le = strconv.FormatFloat(p.histogram.GetExplicitBounds()[i], 'g', -1, 64)
			}
			with := maps.Clone(p.attributes)
			with["le"] = le
			yield(p.name+"_bucket", with, float64(count))
		}
	}
}

// Within waits until a condition holds, and fails if it does not in time.
func (c *Collector) Within(tb testing.TB, limit time.Duration, holds func() bool, what string) {
	tb.Helper()
	require.Eventually(tb, holds, limit, 10*time.Millisecond, what)
}

func attributes(list []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		switch value := a.GetValue().GetValue().(type) {
		case *common.AnyValue_IntValue:
			all[a.GetKey()] = strconv.FormatInt(value.IntValue, 10)
		default:
			all[a.GetKey()] = a.GetValue().GetStringValue()
		}
	}
	return all
}

func series(name string, labels map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return name + "{" + strings.Join(pairs, ",") + "}"
}
