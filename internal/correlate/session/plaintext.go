package session

import "github.com/redis-observer/redis-observer/internal/event"

// Decrypt notes that the bytes to come are the plaintext of the connection, and that those until
// now were not. Whole is set if they are all of it; else it is in mid-stream. A connection counts
// as one of KindTLS before it counts as whatever its plaintext turns out to be.
func (s *Session) Decrypt(whole bool) {
	if s.state == Ended {
		return
	}
	if !s.evidence.encrypted {
		s.shared.Counters.Connections[KindTLS].Add(1)
	}
	s.unpaired(Gap, s.Outstanding())
	s.to(PlaintextFound)
	s.requests.Reset()
	s.replies.Reset()
	s.opening, s.unreadable, s.evidence = opening{}, unreadable{}, evidence{encrypted: true}
	s.killedSelf, s.unread = false, [2]uint32{}
	s.resync = newResync(MidStream, event.Request, s.shared.Now)
	if whole {
		s.to(Opened)
	}
}
