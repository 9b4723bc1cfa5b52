package main

import (
	"github.com/redis-observer/redis-observer/internal/identity"
)

// releaseUnused releases the retired identities that never had a connection. Those that had one keep their series: the counters of a name
// that a reload took away are still of interest, and go on if it comes back. It is for the goroutine that calls Track.
func (s *stages) releaseUnused() {
	for _, id := range s.names.Retired() {
		if !s.tracker.Used(id) {
			s.release(id)
		}
	}
}

// release ends a retired identity with its series. It does nothing while a connection has the identity. The order is that in which
// an identity is carried: when the tracker has none of it and what it returned is recorded, nothing of it can reach the recorder.
func (s *stages) release(id identity.ID) {
	if s.tracker.End(id) {
		s.recorder.End(id)
		s.names.Release(id)
	}
}
