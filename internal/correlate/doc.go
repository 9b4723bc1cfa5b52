// Package correlate follows all connections and reports the outcome of every command.
//
//	kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics
//
// A connection (conn.go) is a session, which is the protocol's state (package session), two reorder
// buffers (package reorder), and a place in the tracker. An event goes down: tracker.go finds the
// connection, conn.go the kind of event, order.go puts bytes in their order and asks the session
// what may wait, and the session appends what it completed to the Exchanges that Track returns.
//
// The slices of an event are not kept: early and out-of-order segments are copied. The Exchanges
// that Track returns are valid until its next call. Track, Rename and Flush belong to one
// goroutine; Stats and Pools are atomics and may be called from any.
//
// Memory is bounded per connection and in total by Options: held bytes, outstanding commands,
// connections. When a total is exhausted, the greatest holder of the greatest group of connections
// to one address gives up its share (budget.go): nobody can take from others what they need. Each
// loss is counted (held overflow, Overflow, Evicted). No wire data causes an error or a panic. No
// key, value, argument or error text outlives the call that parses it, but for segments that wait
// for their place.
package correlate
