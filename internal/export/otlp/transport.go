package otlp

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // registers the compressor
)

// An export is tried again after a pause that grows between these, until its timeout.
const (
	firstRetry = time.Second
	maxRetry   = 5 * time.Second
)

// maxReconnect is the longest pause between attempts to connect. That of gRPC is two minutes, for
// which a collector that is back would get nothing.
const maxReconnect = 10 * time.Second

// All options are given, because what is not would be taken from variables, whose values are in the
// options already.

// openGRPC returns an exporter. It connects with the first export.
func openGRPC(ctx context.Context, endpoint *url.URL, options *Options) (metric.Exporter, *lastStatus, error) {
	secure := insecure.NewCredentials()
	if options.TLS != nil {
		secure = credentials.NewTLS(options.TLS)
	}
	reconnect := backoff.DefaultConfig
	reconnect.MaxDelay = maxReconnect
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(secure),
		grpc.WithDisableServiceConfig(), // a further DNS query
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: options.Timeout}),
		grpc.WithUserAgent("redis-observer/" + options.Version),
	}
	if options.Gzip {
		dial = append(dial, grpc.WithDefaultCallOptions(grpc.UseCompressor("gzip")))
	}
	connection, err := grpc.NewClient(endpoint.Host, dial...)
	if err != nil {
		return nil, nil, err
	}
	exporter, err := otlpmetricgrpc.New(ctx,
		otlpmetricgrpc.WithGRPCConn(connection),
		otlpmetricgrpc.WithHeaders(options.Headers),
		otlpmetricgrpc.WithTimeout(options.Timeout),
		otlpmetricgrpc.WithTemporalitySelector(metric.CumulativeTemporalitySelector),
		otlpmetricgrpc.WithAggregationSelector(metric.DefaultAggregationSelector),
		otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: true, InitialInterval: firstRetry, MaxInterval: maxRetry, MaxElapsedTime: options.Timeout}))
	if err != nil {
		connection.Close()
		return nil, nil, err
	}
	return closing{exporter, connection.Close}, nil, nil
}

// openHTTP returns an exporter. It connects with the first export.
func openHTTP(ctx context.Context, endpoint *url.URL, options *Options) (metric.Exporter, *lastStatus, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: options.Timeout}).DialContext,
		TLSClientConfig:     options.TLS,
		TLSHandshakeTimeout: options.Timeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        1,
		IdleConnTimeout:     90 * time.Second,
	}
	answer := &lastStatus{RoundTripper: transport}
	security, compression := otlpmetrichttp.WithInsecure(), otlpmetrichttp.NoCompression
	if options.TLS != nil {
		security = otlpmetrichttp.WithTLSClientConfig(options.TLS)
	}
	if options.Gzip {
		compression = otlpmetrichttp.GzipCompression
	}
	path := endpoint.Path
	if path == "" {
		path = "/v1/metrics"
	}
	exporter, err := otlpmetrichttp.New(ctx,
		otlpmetrichttp.WithEndpoint(endpoint.Host),
		otlpmetrichttp.WithURLPath(path),
		otlpmetrichttp.WithTLSClientConfig(nil), // not that of variables
		security,
		otlpmetrichttp.WithHTTPClient(&http.Client{Transport: answer, Timeout: options.Timeout, CheckRedirect: stay}),
		otlpmetrichttp.WithHeaders(options.Headers),
		otlpmetrichttp.WithCompression(compression),
		otlpmetrichttp.WithTimeout(options.Timeout),
		otlpmetrichttp.WithTemporalitySelector(metric.CumulativeTemporalitySelector),
		otlpmetrichttp.WithAggregationSelector(metric.DefaultAggregationSelector),
		otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{Enabled: true, InitialInterval: firstRetry, MaxInterval: maxRetry, MaxElapsedTime: options.Timeout}))
	if err != nil {
		return nil, nil, err
	}
	return closing{exporter, func() error { transport.CloseIdleConnections(); return nil }}, answer, nil
}

// stay follows no redirection, so that headers with secrets reach no other server.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// closing closes connections that the exporter does not own.
type closing struct {
	metric.Exporter
	close func() error
}

// Shutdown implements metric.Exporter.
func (c closing) Shutdown(ctx context.Context) error {
	err := c.Exporter.Shutdown(ctx)
	if closed := c.close(); err == nil {
		err = closed
	}
	return err
}
