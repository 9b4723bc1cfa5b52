package session

import (
	"strings"

	"github.com/redis-observer/redis-observer/internal/event"
)

// Gap notes that n bytes of a direction are missing, which passed at a.Time at the latest.
func (s *Session) Gap(d event.Direction, n uint32, reason event.Reason, a Arrival) {
	if reason == event.Urgent && s.between(d) {
		s.skip(d, n, reason)
		return
	}
	if s.Elide(d, n, reason, a) {
		return
	}
	if d == event.Request {
		s.loseUnasked()
	}
	if s.isUnreadable(d, n, reason, a) {
		s.skip(d, n, reason)
		return
	}
	s.shared.Counters.gap(reason, n, false)
	s.receive(d, n)
	switch s.state {
	case Paired:
		s.desync(GapSeen, d, a.Time)
	case Desynced:
		s.resync.trial = trial{}
		s.resync.pass(a.Time, d)
		s.resync.follows = s.resync.follows && d == event.Reply
	case Replica:
		s.requests.Reset()
	}
	s.passUnread(d)
}

// Elide passes over n missing bytes if their content does not matter. It reports false, having done
// nothing, if it does. The streams are tried on copies: a stream that refuses a gap has forgotten
// where it was.
func (s *Session) Elide(d event.Direction, n uint32, reason event.Reason, a Arrival) bool {
	switch {
	case s.state == Desynced && !s.resync.trial.on && (d == event.Reply || !s.resync.follows):
		return false
	case s.requestsClosed && d == event.Request:
		s.closeRequests()
		s.skip(d, n, reason)
		return true
	case s.Closed(), s.Ignores(d):
		s.skip(d, n, reason)
		return true
	case reason == event.Unseen, s.mayBeUrgent(d, n, reason):
		return false
	}
	if d == event.Request {
		if requests := s.requests; !requests.Gap(n) {
			return false
		}
		s.requests.Gap(n)
		s.receive(d, n)
		s.shared.Counters.gap(reason, n, true)
		a.Time, a.Readable = s.requestTime, nil
		s.Request(nil, a)
		return true
	}
	if replies := s.replies; !replies.Gap(n) {
		return false
	}
	s.replies.Gap(n)
	s.receive(d, n)
	s.shared.Counters.gap(reason, n, true)
	if reason == 0 {
		a.Time, a.Readable = min(a.Time, s.replyTime), nil // when missing bytes passed is not known: no latency is longer than it was
	}
	s.Reply(nil, a)
	return true
}

// skip counts n missing bytes that are part of no message.
func (s *Session) skip(d event.Direction, n uint32, reason event.Reason) {
	s.shared.Counters.gap(reason, n, true)
	s.pass(d, uint64(n))
}

// Repeated notes n bytes at an offset that had passed, which sockets do not send again: they are
// others, which the socket did not count.
func (s *Session) Repeated(d event.Direction, n uint32, time int64) {
	if s.Closed() || s.state == Desynced && s.resync.reason == MidStream {
		return // or they passed before the connection was first seen
	}
	s.shared.Counters.gap(event.Repeated, n, false)
	if s.state == Paired {
		s.desync(GapSeen, d, time)
	}
}

// IsUrgent recognises a hole of a single byte before data that is MSG_OOB: it has an offset, and a
// receive leaves it out. Received bytes are read by one thread at a time, so none come late, and a
// byte that was missing at this place would be missed in those that follow.
func (s *Session) IsUrgent(d event.Direction, hole uint32, data []byte) bool {
	if hole != 1 || s.state != Paired || len(data) < 3 || !s.receives(d) || !s.between(d) {
		return false
	}
	urgent := d == event.Request && startsRequest(data) || d == event.Reply && startsReply(data)
	if urgent {
		s.skip(d, hole, event.Urgent)
	}
	return urgent
}

// StandsApart reports whether an urgent byte that was received with the others is no part of a
// message: it stands between two, and begins none.
func (s *Session) StandsApart(d event.Direction, b byte) bool {
	if d == event.Request {
		return s.between(d) && b != '*'
	}
	return s.between(d) && strings.IndexByte(replyTypes, b) < 0
}

// mayBeUrgent reports whether n missing bytes may be urgent data, which is no part of the message
// that it stands in if its receiver did not ask for that (SO_OOBINLINE): where they are sent that
// is not known, and where they are received no event says so.
func (s *Session) mayBeUrgent(d event.Direction, n uint32, reason event.Reason) bool {
	return reason == event.Urgent || reason == 0 && n == 1 && s.shared.Sockets && s.receives(d)
}

// receives reports whether a direction is that in which the observed end receives.
func (s *Session) receives(d event.Direction) bool {
	return (d == event.Request) == (s.role == event.Server)
}

// between reports whether no message of a direction has been begun.
func (s *Session) between(d event.Direction) bool {
	if d == event.Request {
		return s.requests.Boundary()
	}
	return s.replies.Boundary()
}

// replyTypes are the first bytes of replies.
const replyTypes = "+-:$*_#,(!=%~>|"

// startsReply reports whether a chunk begins with the type of a reply, and not with the sign of a
// number whose type is missing.
func startsReply(data []byte) bool {
	return strings.IndexByte(replyTypes, data[0]) >= 0 && (data[0] != '-' || data[1]-'0' > 9)
}
