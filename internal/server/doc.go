// Package server serves the HTTP endpoint: /metrics, /healthz, /readyz and a landing page.
//
// It stands at the end of the data path, kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics,
// and knows nothing of it but a handler of metrics and a function that says whether the probes are attached and read.
//
// Listen binds the address and checks the web configuration (TLS, basic authentication: prometheus/exporter-toolkit), so that faults
// of either show at start; Serve answers until Shutdown. Basic authentication covers every path: a probe of Kubernetes that cannot send it
// has to be a TCP probe.
//
// Bounds: 100 connections, of which one more displaces one that is idle (crowd.go); 4 answers of /metrics at once, which those who ask
// at the same time share, and from which those who take their time to read are cut off when others wait (answers.go); request headers of 16 KiB, 5 s to send a request, 30 s to take the answer,
// bodies are not read. A peer that opens many connections or reads slowly does so at its own expense.
// All methods may be called from any goroutine. A listener that fails ends Serve with its error, Shutdown ends it with nil.
package server
