package main

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/identity"
)

// releaseUnused releases the retired identities that never had a connection. The others keep their
// series, so that the counters of a removed name stay readable and continue if a reload adds the
// name again. Only the goroutine that calls Track may call it.
func (s *stages) releaseUnused() {
	for _, id := range s.counted.Retired() {
		if !s.tracker.Used(id) {
			s.release(id)
		}
	}
	if s.sets != nil {
		s.sets.ReleaseNames()
	}
}

// look notes when something was lost, and looks at the owners of connections, once a second.
func (s *stages) look(now int64) {
	if now-s.looked < int64(time.Second) {
		return
	}
	s.looked = now
	s.recorder.NoteLosses()
	s.lookAtOwners(now)
}

// lookAtOwners takes what became known of pods, and releases the sets of labels that had no connection
// for long.
func (s *stages) lookAtOwners(now int64) {
	if s.pods != nil {
		if changes := s.pods.Changes(); changes != s.changes {
			s.changes = changes
			s.podsChanged()
		}
	}
	if s.sets == nil {
		return
	}
	for _, id := range s.sets.Expired(now, s.tracker.Carried, s.recorder.Recorded) {
		s.release(id)
	}
}

// podsChanged leaves out connections of pods that turn out to be ignored, and gives others the labels
// that became known.
func (s *stages) podsChanged() {
	if len(s.ignore.Namespaces) > 0 {
		s.record(s.tracker.Reconsider())
	}
	if s.sets != nil && s.sets.Waiting() {
		s.record(s.tracker.Relabel(s.sets.Waits, s.sets.Relabel))
	}
}

// release ends the series of a retired identity and releases it, unless a connection still has it.
// The order follows the data path: once the tracker has dropped the identity and its results are
// recorded, nothing can record it any more.
func (s *stages) release(id identity.ID) {
	if s.tracker.End(id) {
		s.recorder.End(id)
		s.counted.Release(id)
	}
}
