package session

import (
	"bytes"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// transaction holds the commands between MULTI and EXEC. Queued commands count when EXEC runs them,
// those that are discarded never.
type transaction struct {
	queue   fifo
	open    bool // between the reply to MULTI and the end
	running bool // the elements of EXEC's reply are being read
	partial bool // it was open when the session was synced: the commands queued before are not known
}

func (t *transaction) begin() {
	t.open = true
}

// end discards the queue.
func (t *transaction) end() {
	t.queue.clear()
	t.open, t.running, t.partial = false, false, false
}

// isQueued reports whether a reply says that the command was queued. With an unknown past it shows
// a MULTI that was not seen.
func (s *Session) isQueued(p *pending, r *parser.Reply) bool {
	t := &s.transaction
	if t.running || r.Type != '+' || !p.verb.queued() || !bytes.Equal(r.Text, []byte("QUEUED")) {
		return false
	}
	if !t.open && s.unknownPast {
		t.open, t.partial = true, true
	}
	return t.open
}

// enqueue moves the oldest pending command into the transaction.
func (s *Session) enqueue() {
	queued := s.pending.take()
	place := s.transaction.queue.push()
	if place == nil {
		s.unpaired(Overflow, 1)
		s.desync(Overflowed, event.Reply, s.replyTime)
		return
	}
	*place = queued
}

// executed takes the reply of EXEC: the header of an array whose elements follow as frames, null if
// a watched key changed, or a whole frame where the elements cannot be paired.
func (s *Session) executed(f *frame, r *parser.Reply) {
	t := &s.transaction
	switch {
	case r.Null || r.Type != '*' || r.Len == 0 && t.queue.empty():
		t.end()
		s.finish(Success, command.OtherPrefix)
	case !f.header:
		reason := Transaction
		if s.unknownPast {
			reason = MidStream
		}
		s.unpaired(reason, max(t.queue.count, clampCount(r.Len)))
		t.end()
		s.finish(Success, command.OtherPrefix)
	case r.Len != int64(t.queue.count):
		s.desync(CountMismatch, event.Reply, s.replyTime)
	default:
		t.running = true
		s.completeQueued()
	}
}

// finishQueued ends the queued command whose element was read.
func (s *Session) finishQueued(outcome Outcome, prefix command.Prefix) {
	s.emit(s.transaction.queue.at(0), 1, outcome, prefix, NoReason, s.replyTime)
	s.transaction.queue.pop(1)
	s.completeQueued()
}

// completeQueued takes the queued commands off that have no element in the reply, because of a
// CLIENT REPLY among them, and ends EXEC after the last.
func (s *Session) completeQueued() {
	t, off := &s.transaction, false
	for !t.queue.empty() {
		p := t.queue.at(0)
		switch {
		case p.verb == replyOff:
			off = true
			s.replyMode = suppressed
		case p.verb == replyOn && off:
			s.replyMode = answering
			return
		case p.verb == replySkip:
			if s.replyMode == answering {
				s.replyMode = skipNext // for the request after EXEC
			}
		case p.flags&noReply != 0:
		case p.verb == monitor && s.monitors: // a second MONITOR
		case !off:
			return
		}
		s.emit(p, 1, Silent, command.OtherPrefix, NoReason, p.time)
		t.queue.pop(1)
	}
	t.end()
	s.finish(Success, command.OtherPrefix)
}

// runSuppressed counts the commands of an EXEC whose reply is suppressed. It reports false if a
// CLIENT REPLY ON among them lets the rest be answered: the array has no header then, and EXEC ends
// with its last element.
func (s *Session) runSuppressed() bool {
	t := &s.transaction
	for !t.queue.empty() {
		p := t.queue.at(0)
		if p.verb == replyOn {
			t.running = true
			s.replyMode = answering
			return false
		}
		s.emit(p, 1, Silent, command.OtherPrefix, NoReason, p.time)
		s.subscriptions.suppressedAcks = s.subscriptions.suppressedAcks || p.verb.subscribes()
		t.queue.pop(1)
	}
	t.end()
	return true
}
