// Package naming finds what a connection counts under, from its role and its endpoints: an identity, which stands for a set of labels.
//
// It stands beside the data path, kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics:
// the tracker asks Names once per connection, and again when Version has changed; the capture takes the ports from Names.
//
// Names may be used by any number of goroutines: Resolve reads an immutable table through an atomic pointer and allocates nothing;
// Apply and the resolution of host names replace that table. A host name that does not resolve is logged and counted, and keeps its last
// addresses; there are no errors to return.
//
// An identity of earlier rules stays until Release ends it, which the goroutine does that runs the tracker (see package identity).
package naming
