package session

import "github.com/redis-observer/redis-observer/internal/event"

// manyUnreadable is how many gaps that follow each other without a byte between them make a
// direction one that cannot be read.
const manyUnreadable = 3

// unreadable is what is known of payload that never stands in the memory of a program: a relay
// passes it on by splice, a loader sends it by sendfile, or io_uring receives it where only the
// socket layer is probed. Each call is a gap then, for as long as the connection lives.
type unreadable struct {
	direction event.Direction // of the latest gaps
	run       uint8           // how many followed each other
	end       uint32          // where the latest ended
	on        bool            // the direction is given up until a byte of it is read
	behind    bool            // it was, but not yet the bytes that follow in the other direction
	counted   bool            // the connection was counted by its kind
}

// isUnreadable notes a gap of n bytes. It reports whether the gap is covered by counting the
// connection under its kind.
func (s *Session) isUnreadable(d event.Direction, n uint32, reason event.Reason, a Arrival) bool {
	u := &s.unreadable
	switch {
	case u.on && (reason == event.NotInMemory || reason == 0):
		return true // of the other direction too: nothing can be paired
	case u.behind && reason == 0 && d != u.direction:
		u.behind = false
		return true
	case reason != event.NotInMemory || s.state == Replica:
		return false
	}
	if u.run == 0 || u.direction != d || u.end != a.End-n {
		u.run = 0
	}
	u.direction, u.run, u.end = d, u.run+1, a.End
	if u.run < manyUnreadable && (s.evidence.asked || s.evidence.resp || s.resync.trial.on) {
		return false
	}
	u.on = true
	if !u.counted {
		u.counted = true
		s.shared.Counters.Connections[KindSpliced].Add(1)
	}
	if s.state == Paired {
		s.desync(GapSeen, d, a.Time)
	}
	return true
}

// Overlooked notes a gap of n bytes that the program has received by a call that no event brought.
// If nothing of the replies was ever read, nothing will be.
func (s *Session) Overlooked(d event.Direction, n uint32, reason event.Reason, a Arrival) {
	if d == event.Reply && !s.evidence.answered {
		s.unreadable.direction, s.unreadable.run, s.unreadable.end = d, manyUnreadable-1, a.End-n
	}
	s.Gap(d, n, reason, a)
}

// Unreadable reports whether a direction is given up until a byte of it is read.
func (s *Session) Unreadable() bool { return s.unreadable.on }

// repliesUnreadable reports whether the replies are given up: no request can be paired.
func (s *Session) repliesUnreadable() bool {
	return s.unreadable.on && s.unreadable.direction == event.Reply
}

// noteReadable notes that bytes of a direction were read, while desynced.
func (s *Session) noteReadable(d event.Direction) {
	if s.unreadable.on && s.unreadable.direction == d {
		s.unreadable.on, s.unreadable.behind, s.unreadable.run = false, true, 0
	}
}
