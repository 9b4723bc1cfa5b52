package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit"
)

// options serve one counter on a free port.
func options() Options {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "test_total", Help: "Test."})
	registry.MustRegister(counter)
	counter.Inc()
	return Options{
		Listen:    "127.0.0.1:0",
		Metrics:   promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}),
		Page:      http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a page") }),
		Live:      http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "its data") }),
		Slow:      http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "slow ones") }),
		Addresses: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "where") }),
		Ready:     func() error { return nil },
		Logger:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// mustServe serves until the end of the test and returns the base URL.
func mustServe(tb testing.TB, o Options) string {
	tb.Helper()
	server, err := Listen(o)
	require.NoError(tb, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(tb, server.Shutdown(ctx))
		assert.NoError(tb, <-served)
	})
	return "http://" + server.Address()
}

func get(tb testing.TB, request *http.Request) (*http.Response, string) {
	tb.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Do(request)
	require.NoError(tb, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(tb, err)
	return response, string(body)
}

func mustRequest(tb testing.TB, method, url string) *http.Request {
	tb.Helper()
	request, err := http.NewRequest(method, url, nil)
	require.NoError(tb, err)
	return request
}

func TestRoutes(t *testing.T) {
	o := options()
	unready := o
	unready.Ready = func() error { return errors.New("probes are not attached") }
	ready, notReady := mustServe(t, o), mustServe(t, unready)
	tests := []struct {
		name, method, url string
		status            int
		body              string
	}{
		{"page", "GET", ready + "/", 200, "a page"},
		{"data of the page", "GET", ready + "/live.json", 200, "its data"},
		{"slow commands", "GET", ready + "/slow", 200, "slow ones"},
		{"addresses", "GET", ready + "/addresses", 200, "where"},
		{"metrics", "GET", ready + "/metrics", 200, "test_total 1"},
		{"health", "GET", ready + "/healthz", 200, "ok\n"},
		{"ready", "GET", ready + "/readyz", 200, "ok\n"},
		{"health before probes", "GET", notReady + "/healthz", 200, "ok\n"},
		{"not ready", "GET", notReady + "/readyz", 503, "probes are not attached\n"},
		{"no such page", "GET", ready + "/metricsx", 404, ""},
		{"no profiling", "GET", ready + "/debug/pprof/", 404, ""},
		{"method", "POST", ready + "/metrics", 405, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			response, body := get(t, mustRequest(t, test.method, test.url))
			assert.Equal(t, test.status, response.StatusCode)
			assert.Contains(t, body, test.body)
		})
	}
}

func TestOpenMetricsIsNegotiated(t *testing.T) {
	request := mustRequest(t, "GET", mustServe(t, options())+"/metrics")
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	response, body := get(t, request)
	assert.Contains(t, response.Header.Get("Content-Type"), "application/openmetrics-text")
	assert.True(t, strings.HasSuffix(body, "# EOF\n"))
}

func TestHeaderLimit(t *testing.T) {
	request := mustRequest(t, "GET", mustServe(t, options())+"/healthz")
	request.Header.Set("X-Large", strings.Repeat("x", 2*headerLimit))
	response, _ := get(t, request)
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
}

func TestBasicAuthentication(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	require.NoError(t, err)
	o := options()
	o.WebConfig = filepath.Join(t.TempDir(), "web.yaml")
	require.NoError(t, os.WriteFile(o.WebConfig, []byte("basic_auth_users:\n  prometheus: "+string(hash)+"\n"), 0o600))
	url := mustServe(t, o)
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz"} {
		response, _ := get(t, mustRequest(t, "GET", url+path))
		assert.Equal(t, http.StatusUnauthorized, response.StatusCode, path)
	}
	request := mustRequest(t, "GET", url+"/metrics")
	request.SetBasicAuth("prometheus", "secret")
	response, body := get(t, request)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Contains(t, body, "test_total 1")
}

// Reading a web configuration that has become a FIFO would block.
func TestWebConfigBecomesFIFO(t *testing.T) {
	o := options()
	o.WebConfig = filepath.Join(t.TempDir(), "web.yaml")
	require.NoError(t, os.WriteFile(o.WebConfig, nil, 0o600))
	url := mustServe(t, o)
	response, _ := get(t, mustRequest(t, "GET", url+"/healthz"))
	assert.Equal(t, http.StatusOK, response.StatusCode)
	require.NoError(t, os.Remove(o.WebConfig))
	require.NoError(t, unix.Mkfifo(o.WebConfig, 0o600))
	response, _ = get(t, mustRequest(t, "GET", url+"/healthz"))
	assert.Equal(t, http.StatusInternalServerError, response.StatusCode)
	_, err := Listen(o)
	assert.ErrorContains(t, err, "FIFO")
}

func TestTLS(t *testing.T) {
	o := options()
	o.WebConfig = mustTLSConfig(t)
	url := mustServe(t, o)
	response, _ := get(t, mustRequest(t, "GET", strings.Replace(url, "http:", "https:", 1)+"/healthz"))
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.NotNil(t, response.TLS)
	response, _ = get(t, mustRequest(t, "GET", url+"/healthz"))
	assert.Equal(t, http.StatusBadRequest, response.StatusCode)
}

func TestListenFaults(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	o := options()
	o.Listen = taken.Addr().String()
	_, err = Listen(o)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "listen on "+o.Listen)
	assert.Contains(t, err.Error(), "address already in use")

	o = options()
	o.WebConfig = filepath.Join(t.TempDir(), "web.yaml")
	require.NoError(t, os.WriteFile(o.WebConfig, []byte("tls_servr_config: {}\n"), 0o600))
	_, err = Listen(o)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "web_config")
}

func TestShutdownEndsSlowRequests(t *testing.T) {
	o := options()
	started := make(chan struct{})
	o.Metrics = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
	})
	server, err := Listen(o)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	connection, err := net.Dial("tcp", server.Address())
	require.NoError(t, err)
	defer connection.Close()
	_, err = io.Copy(connection, bytes.NewBufferString("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	<-started
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	assert.ErrorIs(t, server.Shutdown(ctx), context.DeadlineExceeded)
	assert.NoError(t, <-served)
	assert.Less(t, time.Since(begin), time.Second)
}

// The log limits messages by their text, so errors about all clients are one message.
func TestClientErrorsAreOneMessage(t *testing.T) {
	var out kit.Output
	o := options()
	o.WebConfig = mustTLSConfig(t)
	o.Logger = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	url := mustServe(t, o)
	const clients = 20
	for range clients {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		require.NoError(t, err)
		_, err = conn.Write([]byte("this is no handshake\n"))
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, conn) // until it is closed
		conn.Close()
	}
	require.Eventually(t, func() bool { return strings.Count(out.String(), "TLS handshake error") == clients }, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, clients, strings.Count(out.String(), `"msg":"HTTP client error","error":"http: TLS handshake error from 127.0.0.1:`))
}
