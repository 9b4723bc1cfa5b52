// Package socket turns what the probes of package bpf tell of socket calls into events.
//
// It is the first stage of kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics.
package socket
