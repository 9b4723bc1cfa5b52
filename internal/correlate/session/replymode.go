package session

import (
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// replyMode is the CLIENT REPLY mode in effect for the oldest outstanding command; later commands
// may still change it.
type replyMode uint8

const (
	answering  replyMode = iota // ON
	skipNext                    // SKIP
	suppressed                  // OFF
)

// after returns the mode that a command leaves, once run outside of a transaction.
func (m replyMode) after(v verb) replyMode {
	switch {
	case v == replyOn || v == reset:
		return answering
	case v == replyOff || m == suppressed:
		return suppressed
	case v == replySkip:
		return skipNext
	default:
		return answering
	}
}

// suppresses reports whether a command gets no reply in this mode outside of a transaction, all
// else being as at the beginning.
func (m replyMode) suppresses(v verb, f pendingFlags) bool {
	switch {
	case m == suppressed && v == reset:
		return false
	case m != answering:
		return v != replyOn
	}
	return v == replyOff || v == replySkip || f&noReply != 0
}

// asRun returns the verb of the oldest command as the server takes it: a RESP2 connection that is
// subscribed is refused CLIENT REPLY.
func (s *Session) asRun(v verb) verb {
	if v.setsReplyMode() && s.resp == 2 && !s.unknownPast && s.subscriptions.counted() {
		return ordinary
	}
	return v
}

// isSuppressed reports whether the oldest command gets no reply.
func (s *Session) isSuppressed(p *pending) bool {
	v := s.asRun(p.verb)
	switch {
	case s.transaction.open && s.replyMode == answering:
		return false // it is answered when it is queued
	case s.transaction.open && v == replyOn:
		return true // it is queued, and that is not answered
	case v == monitor && s.replyMode == answering:
		return s.monitors // a second MONITOR is not answered
	}
	return s.replyMode.suppresses(v, p.flags)
}

// passReplyMode notes the mode that a command leaves, once run outside of a transaction.
func (s *Session) passReplyMode(p *pending) {
	s.replyMode = s.replyMode.after(s.asRun(p.verb))
}

// completeSuppressed takes the commands that get no reply off the head of the FIFO, as if they had
// succeeded.
func (s *Session) completeSuppressed() { s.completeObeyed(false) }

// completeObeyed is completeSuppressed. Obeyed is set if it is certain that the server refuses none
// of them.
func (s *Session) completeObeyed(obeyed bool) {
	s.doubt.on = false
	for !s.pending.empty() && !s.transaction.running {
		p := s.pending.at(0)
		if !s.isSuppressed(p) {
			return
		}
		if s.replyMode == answering && !obeyed && s.mayBeRefused(p) {
			return
		}
		if s.transaction.open && p.verb.queued() {
			s.enqueue()
			continue
		}
		if p.verb == exec && !s.runSuppressed() {
			return
		}
		done := s.pending.take()
		s.emit(&done, 1, Silent, command.OtherPrefix, NoReason, done.time)
		s.suppressedEffect(&done)
	}
}

// suppressedEffect does to the session what a command does whose reply is suppressed.
func (s *Session) suppressedEffect(p *pending) {
	if s.state == Replica {
		return // a link stays what it is, whatever runs through it
	}
	s.passReplyMode(p)
	switch {
	case p.verb == multi:
		s.transaction.begin()
	case p.verb == discard:
		s.transaction.end()
	case p.verb == reset:
		s.to(WasReset)
	case p.verb == monitor:
		s.monitors = true
	case p.verb == quit:
		s.quit(0)
	case p.verb.subscribes():
		s.subscriptions.suppressedAcks = true
	}
}

// quit ends the requests: the server runs no more than the n oldest of those that it has.
func (s *Session) quit(n uint32) {
	s.shared.Counters.Unexecuted.Add(uint64(s.pending.count - n))
	s.pending.truncate(n)
	s.endRequests()
}

// resetSuppressed takes a RESET off the FIFO that the reply behind it does not answer: the server
// is older than the command, and CLIENT REPLY suppressed its error. The reply is that of a later
// command.
func (s *Session) resetSuppressed(f *frame, r *parser.Reply) {
	p := s.pending.at(0)
	s.emit(p, 1, Silent, command.OtherPrefix, NoReason, p.time)
	s.pending.pop(1)
	s.completeSuppressed()
	if f.awaited = !s.pending.empty(); f.awaited {
		s.answer(f, r)
		return
	}
	s.orphan(f, r, false)
}
