// Package correlate pairs the requests of every connection with their replies, and says what became of each command.
//
//	kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics
//
// A connection has two reorder buffers (package reorder), which put the chunks of a direction into order, and a FIFO of the commands that await a reply.
// Frames that answer no request (pushes, messages, lines of MONITOR) are recognised before the FIFO is looked at. What the
// server was told in a reply that we saw is believed; what was asked in a request is believed only when no reply can tell.
//
// Out of step is a state: after a gap, or when first seen in mid-stream, nothing is paired and what passes is counted as
// Unpaired, until resync.go finds a boundary. A connection that never shows RESP is given up and counted as such.
//
// The slices of an event are not kept: early and out-of-order chunks are copied. The Exchanges that Track returns are valid
// until its next call. Track, Rename and Flush belong to one goroutine; Stats and Pools are atomics and may be called from any.
//
// Memory is bounded per connection and in total by Options: held bytes, outstanding commands, connections. When a total is exhausted, the
// greatest holder of the greatest group of connections to one address gives (budget.go): nobody can take what others need. What is given
// up is counted (held overflow, Overflow, Evicted), never dropped silently. No wire data causes an error or a panic.
// No key, value, argument or error text outlives the call that parses it, but for chunks that wait for their place.
package correlate
