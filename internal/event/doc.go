// Package event is the contract between the sources of socket events and the tracker that takes
// them.
//
// It stands between the first two stages of kernel → event.Source → parser.Stream →
// correlate.Tracker → metrics.Recorder → /metrics, and imports nothing but the standard library, so
// that everything may import it.
//
// A Source yields Events: payload of one direction with its offset in the stream, gaps of known
// length, and the life of connections. Missed bytes show as a jump of the offsets, so that nothing
// downstream has to trust the source. Event.Data belongs to the source and is valid until the next
// Read. Read is for one goroutine; Stats and Close are for any. After Close, Read delivers what was
// already captured and then os.ErrClosed.
package event
