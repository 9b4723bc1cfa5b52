package server

import (
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/exporter-toolkit/web"
)

// routes maps the paths of the endpoint. All paths accept GET and HEAD only.
func routes(o Options) (http.Handler, error) {
	landing, err := web.NewLandingPage(web.LandingConfig{
		Name:        "redis-observer",
		Description: "Commands, latencies and errors of Redis traffic, observed with eBPF",
		Version:     o.Version,
		Profiling:   "false",
		Links: []web.LandingLinks{
			{Address: "/metrics", Text: "Metrics"},
			{Address: "/healthz", Text: "Health", Description: "the process is alive"},
			{Address: "/readyz", Text: "Readiness", Description: "the probes are attached and read"},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make landing page: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", landing)
	mux.Handle("GET /metrics", bounded(o.Metrics))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { state(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { state(w, o.Ready()) })
	return mux, nil
}

// state responds "ok", or the error with status 503.
func state(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, err.Error()+"\n") // the client has gone
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}
