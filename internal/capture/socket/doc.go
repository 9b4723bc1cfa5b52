// Package socket turns the events of package bpf, which probes socket calls, into the events of
// package event.
//
// It is the first stage of kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics.
package socket
