package server

import (
	"io"
	"net/http"
)

// routes maps the paths of the endpoint. All paths accept GET and HEAD only.
func routes(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", bounded(o.Page))
	mux.Handle("GET /live.json", bounded(o.Live))
	mux.Handle("GET /slow", bounded(o.Slow))
	mux.Handle("GET /addresses", bounded(o.Addresses))
	mux.Handle("GET /metrics", bounded(o.Metrics))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { state(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { state(w, o.Ready()) })
	return mux
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
