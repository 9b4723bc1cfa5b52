// Package packet turns packets into events: those on this machine's interfaces, and those of captures.
//
// It is the first stage of kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics where probes cannot be,
// or were not. Both sources follow conversations alike.
package packet
