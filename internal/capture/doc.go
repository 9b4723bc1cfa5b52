// Package capture turns what happened on sockets into events, wherever it was seen.
//
// Its place in the line: kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics.
package capture
