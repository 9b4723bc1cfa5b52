// Package server serves the HTTP endpoint: /metrics, /healthz, /readyz and the page for people.
//
// It is the end of the data path, kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics. It depends only on a handler for metrics and a readiness function.
//
// Listen binds the address and validates the web configuration (TLS, basic authentication:
// prometheus/exporter-toolkit), so that errors in either appear at the start. Serve answers until
// Shutdown. Basic authentication applies to every path: a Kubernetes probe that cannot send it must
// be a TCP probe.
//
// Limits: 100 connections; a further one evicts another, idle ones first (listener.go). 4 pages of
// /metrics in memory; concurrent requests share them, and slow readers are disconnected when others
// wait (answers.go). Request headers of 16 KiB, 5 s to send a request, 30 s to read the response;
// request bodies are not read. A peer with many connections or slow reads is limited first.
//
// All methods are safe for concurrent use. Serve returns the error of a failed listener, and nil
// after Shutdown.
package server
