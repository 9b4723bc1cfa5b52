package session

import (
	"math"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Ending is how a connection ended.
type Ending struct {
	Reason Reason
	Time   int64 // when it ended
	Since  int64 // when the first end closed
	Unread uint8 // bytes that the client left unread, as of event.Event.Unread
	Hidden bool  // it left ciphertext unread, which need not have any plaintext; then Unread is 0
	Cut    bool  // it was reset by the other end, or broken
}

// closing is an Ending while the outstanding commands are reported, the oldest first.
type closing struct {
	Ending
	answers  uint32 // replies that stand before that of the next command
	reported uint32 // commands whose outcome was reported
}

// Close ends the session, and reports the outstanding commands as unanswered.
func (s *Session) Close(e Ending) {
	switch {
	case s.Closed():
	case s.evidence.resp:
		s.noteAnswer() // a client that speaks RESP and is not answered is taken at its word
	case s.unknownPast: // bytes are missing: the rest proves nothing
	case s.evidence.asked, s.opening.banner != 0:
		s.recognise(KindNotRedis)
	}
	s.reportUnanswered(e)
	s.passUnread(event.Request)
	s.passUnread(event.Reply)
	s.to(ConnectionEnded)
	s.Release()
}

// RepliesEnded reports the outstanding commands as unanswered, before the connection ends: the
// server has closed, and its last reply was read. Requests that were sent before that may still
// come; call it again then. Whether the connection is Redis at all may not be known before its end.
func (s *Session) RepliesEnded(e Ending) {
	if s.Closed() || !s.evidence.resp {
		return
	}
	s.noteAnswer() // as Close does
	s.reportUnanswered(e)
	s.end(outstanding | inDoubt) // but no transaction: its EXEC may still come
	s.Release()
}

// reportUnanswered reports the outstanding commands as unanswered. Those that the server can never
// have run do not count: those that wait behind a command that blocks, or by which the client had
// its own connection or the server ended, and those queued without an EXEC.
func (s *Session) reportUnanswered(e Ending) {
	outstanding := s.Outstanding()
	if s.probation.stage == mute && s.pending.count > 0 {
		s.reportFalseProof()
	}
	c := closing{Ending: e}
	if s.killedSelf && e.Reason == ServerClosed || !s.reportOutstanding(&c) {
		s.endRequests()
	}
	s.shared.Counters.Unexecuted.Add(uint64(outstanding - c.reported))
}

// reportOutstanding reports the commands that the server has run or may have run. It returns false
// if it cannot have run commands behind one of them, or nobody can say whether it did.
func (s *Session) reportOutstanding(c *closing) bool {
	first := uint32(0) // of those in the FIFO that are queued
	for i := range s.pending.runs {
		p := s.pending.at(i)
		if s.transaction.open && p.verb.queued() {
			c.answers += p.count()
			continue
		}
		switch p.verb {
		case multi:
			if !s.transaction.open {
				s.transaction.open, first = true, i+1
			}
		case exec:
			if s.transaction.open {
				s.unanswerQueued(first, i, c)
			}
			s.transaction.open = false
		case discard, reset:
			s.transaction.end()
		}
		if !s.unanswerRun(p, i, c) || p.verb == shutdown || p.verb == quit {
			return false
		}
	}
	return true
}

// unanswerRun reports the commands of the i-th run. It returns false if the server cannot have run
// the commands behind one of them, or nobody can say whether it did.
func (s *Session) unanswerRun(p *pending, i uint32, c *closing) bool {
	for n := p.count(); n > 0; n-- {
		s.unanswer(p, c)
		if p.flags&blocks == 0 || s.isServed(c) {
			continue
		}
		if unknown := s.behind(i, n-1); unknown > 0 && (s.maybeServed(i, n-1, c) || !s.isBlocked(c)) {
			s.unpaired(c.Reason, unknown)
			c.reported += unknown
		}
		return false
	}
	return true
}

// isServed reports whether it is certain that the last command, which blocks, was answered: the
// client left something unread, which can only have begun with the reply to the first command. The
// server ran on then, up to the next that blocks.
func (s *Session) isServed(c *closing) bool {
	return c.Unread > 0 && c.answers == 1 && s.resp == 2 && !s.subscriptions.any() && !s.monitors
}

// shortestReply is the length of the shortest replies: "_" and an empty status, with the end of
// their line.
const shortestReply = 3

// maybeServed reports whether the bytes that the client left unread may have held the reply to a
// command that blocks, of the i-th run with so many of that run behind it, and to all that the
// server ran at once then: the commands before the next one that blocks.
func (s *Session) maybeServed(i, same uint32, c *closing) bool {
	unread := uint32(c.Unread)
	if unread == math.MaxUint8 || c.Hidden {
		return true
	}
	needed := c.answers
	for i++; same == 0 && i < s.pending.runs && needed*shortestReply <= unread; i++ {
		p := s.pending.at(i)
		if p.flags&(blocks|noReply) != 0 || p.verb.setsReplyMode() {
			break
		}
		needed += p.count()
	}
	return unread > 0 && needed*shortestReply <= unread
}

// behind returns how many commands wait behind one of the i-th run that has so many of its run
// behind it, up to a QUIT or a SHUTDOWN.
func (s *Session) behind(i, same uint32) uint32 {
	n := same
	for i++; i < s.pending.runs; i++ {
		p := s.pending.at(i)
		n += p.count()
		if p.verb == quit || p.verb == shutdown {
			break
		}
	}
	return n
}

// isBlocked reports whether it is certain that the server had not come past the command that blocks
// when the connection ended. A server that closed has answered all that it has run; at its own end
// that holds too if it could still write, or has written since the last request came. Otherwise its
// reply may have crossed the close on its way: then there must have been a silence.
func (s *Session) isBlocked(c *closing) bool {
	asked := s.pending.at(s.pending.runs - 1).time
	if c.Reason == ServerClosed || s.role == event.Server && (!c.Cut || s.replyTime > asked) {
		return true
	}
	return c.Since-max(s.replyTime, asked) >= s.shared.Quiet
}

// unanswerQueued reports the commands that an unanswered EXEC ran: the transaction, and those in
// the FIFO from first up to the EXEC.
func (s *Session) unanswerQueued(first, end uint32, c *closing) {
	answers := c.answers
	queue := &s.transaction.queue
	for i := range queue.runs {
		s.unanswerAll(queue.at(i), c)
	}
	for i := first; i < end; i++ {
		if p := s.pending.at(i); p.verb.queued() {
			s.unanswerAll(p, c)
		}
	}
	c.answers = answers // that of EXEC has them all
	queue.clear()
}

// unanswerAll reports each command of a run.
func (s *Session) unanswerAll(p *pending, c *closing) {
	for range p.count() {
		s.unanswer(p, c)
	}
}

// unanswer reports a command that gets no reply any more, because there is none by design or
// because the connection ended. QUIT asks the server to close, and some servers answer it by
// nothing else.
func (s *Session) unanswer(p *pending, c *closing) {
	silent := s.isSuppressed(p)
	s.passReplyMode(p)
	c.reported++
	switch {
	case silent || p.verb == shutdown && c.Reason == ServerClosed:
		s.emit(p, 1, Silent, command.OtherPrefix, NoReason, p.time)
		return
	case p.verb == quit && c.Reason == ServerClosed:
		s.emit(p, 1, Success, command.OtherPrefix, NoReason, c.Time)
	default:
		s.emit(p, 1, Unanswered, command.OtherPrefix, c.Reason, c.Time)
	}
	c.answers++
}
