// Package naming maps a connection to the identity that it counts under. Its input is the role and
// the endpoints; an identity stands for a set of label values.
//
// Names is beside the data path, kernel → event.Source → parser.Stream → correlate.Tracker →
// metrics.Recorder → /metrics. The tracker calls Resolve once per connection, and again after
// Version changes. The capture backend observes the ports of Names.
//
// Any number of goroutines may use Names. Resolve reads an immutable table through an atomic
// pointer and does not allocate; Apply and the resolution of host names replace the table. If a
// host name does not resolve, Names logs and counts the failure and keeps the last addresses.
// Methods return no errors. Run looks host names up when their addresses expire, and when Resolve
// meets an address that no endpoint claims (asks.go).
//
// An identity of earlier rules lives until Release. The goroutine that runs the tracker calls
// Release (see package identity).
package naming
