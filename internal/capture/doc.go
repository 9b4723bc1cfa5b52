// Package capture opens the source of this machine's events, from one table of backends: first the
// eBPF probes, last the capture of packets.
//
// It precedes kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder →
// /metrics. The sources themselves are in the packages socket and packet.
package capture
