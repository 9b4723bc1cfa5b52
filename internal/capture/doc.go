// Package capture opens the source that sees what happens on this machine: one table of backends, the eBPF probes first and packets last.
//
// It stands in front of kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics. The sources themselves are
// in socket and packet.
package capture
