// Package packet turns packets into events: the packets on this machine's interfaces (Live), and
// those of capture files (Replay).
//
// It is the first stage of kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics where the eBPF probes do not work, and for captures. Both sources
// share the tracking of conversations.
package packet
