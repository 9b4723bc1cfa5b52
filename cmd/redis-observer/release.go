package main

import (
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/internal/naming"
)

// releaseUnused releases the retired identities that never had a connection. Those that had one keep their series: the counters of a name
// that a reload took away are still of interest, and go on if it comes back. It is for the goroutine that calls Track.
func releaseUnused(names *naming.Names, tracker *correlate.Tracker, recorder *metrics.Recorder) {
	for _, id := range names.Retired() {
		if !tracker.Used(id) {
			release(id, names, tracker, recorder)
		}
	}
}

// release ends a retired identity with its series. It does nothing while a connection has the identity. The order is that in which
// an identity is carried: when the tracker has none of it and what it returned is recorded, nothing of it can reach the recorder.
func release(id identity.ID, names *naming.Names, tracker *correlate.Tracker, recorder *metrics.Recorder) {
	if tracker.End(id) {
		recorder.End(id)
		names.Release(id)
	}
}
