package session

import (
	"bytes"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// frame is what is true of one frame of the reply stream while it is read.
type frame struct {
	// Of the chunk being read, as How says:
	released, outdated, requestsHeld bool
	begun
}

// begun is what is true of a frame since its first byte.
type begun struct {
	header        bool // it is the header of EXEC's reply; the elements follow as frames of their own
	awaited       bool // a command was outstanding
	begunReleased bool // its chunk was released
	blind         bool // a request had begun whose end had not been read
}

// Reply reads a chunk of the reply stream. It returns the bytes that have to wait for their request
// and are to be read again with it, nil if there are none.
func (s *Session) Reply(data []byte, a Arrival) (rest []byte) {
	s.receive(event.Reply, uint32(len(data)))
	if s.shared.Waits {
		s.shared.read = a
	}
	rest = s.reply(data, a)
	s.shared.read.Readable = nil
	s.unread[event.Reply] -= uint32(len(rest))
	if s.state != Paired {
		s.passUnread(event.Reply)
	}
	return rest
}

// reply is Reply of bytes that are in unread.
func (s *Session) reply(data []byte, a Arrival) (rest []byte) {
	switch s.state {
	case Paired:
		f := frame{released: a.How.has(Released), outdated: a.How.has(Outdated), requestsHeld: a.How.has(OtherHeld)}
		if !s.replies.Boundary() {
			f.begun = s.unfinished
		}
		s.replies.Feed(data)
		s.replyTime = a.Time
		if rest = s.readReplies(&f); rest != nil {
			s.replies.Reset()
		}
	case Desynced:
		if len(data) > 0 && data[0] != '>' && !a.How.has(Released) && s.breaksSilence(a.Time) {
			return data
		}
		s.replyDesynced(data, a.Time)
	}
	return rest
}

// readReplies takes the complete frames of the chunk that was fed. It returns the bytes that are to
// be put back, nil if there are none.
func (s *Session) readReplies(f *frame) (rest []byte) {
	var r parser.Reply
	for s.state == Paired {
		var mark []byte // where the frame begins, if it does so in this chunk and may wait
		if kind, begins := s.replies.Peek(); begins {
			if !s.beginFrame(f, kind) {
				return s.replies.Rest()
			}
			if s.state != Paired {
				break
			}
			if s.takeSuccesses(f) {
				continue
			}
			if (!f.awaited || s.doubt.on) && !f.released {
				mark = s.replies.Rest()
			}
		}
		if err := s.nextFrame(f, &r); err != nil {
			switch {
			case err == parser.ErrMalformed:
				s.malformedReply()
			case !s.replies.Boundary():
				s.unfinished = f.begun
			}
			return nil
		}
		s.weigh(&r)
		if s.evidence.answered || s.firstReply(&r) {
			if !s.frame(f, &r, mark != nil) {
				s.unweigh()
				return mark
			}
		}
		s.passWeight()
	}
	s.replies.Reset()
	return nil
}

// beginFrame looks at the first byte of a frame. It reports false if the frame may not be read
// before a request that it answers.
func (s *Session) beginFrame(f *frame, kind byte) bool {
	f.awaited = !s.pending.empty() && !f.outdated
	f.header, f.begunReleased, f.blind = false, f.released, false
	if s.doubt.on && !f.outdated && s.answersLater(kind) {
		s.assumeObeyed()
		f.awaited = !s.pending.empty() && !f.outdated
	}
	if !f.awaited {
		f.blind = s.requestUnfinished(f)
		return kind == '>' || f.released || !s.mayWait() || s.opening.proxied != 0
	}
	switch head := s.pending.at(0); {
	case head.verb == exec:
		f.header = kind == '*' && s.transaction.open && !s.transaction.running && !s.transaction.partial
	case head.verb == sync && kind == '$':
		// A dump without an end mark follows, and then commands.
		s.finish(Success, command.OtherPrefix)
		s.link(SyncAnswered)
	}
	return true
}

// requestUnfinished reports whether a request has begun whose end has not been read.
func (s *Session) requestUnfinished(f *frame) bool {
	return !s.requests.Boundary() || f.requestsHeld
}

// MustWait reports whether the held replies, of which the first was received at a time, have to wait
// for a request.
func (s *Session) MustWait(time int64) bool {
	if s.state == Desynced {
		return s.breaksSilence(time)
	}
	return s.state == Paired && (s.pending.empty() || s.doubt.undecided) && s.mayWait() && s.replies.Boundary()
}

// IsOutdated reports whether a reply that was received at a time and held since came before the
// oldest request was sent: it waited in vain.
func (s *Session) IsOutdated(time int64) bool {
	return !s.pending.empty() && s.replies.Boundary() && time < s.pending.at(0).time
}

// mayWait reports whether a reply that answers nothing is likely to be ahead of its request, rather
// than one of those that have none.
func (s *Session) mayWait() bool {
	return !(s.requestsClosed || s.monitors || s.subscriptions.any() && s.resp == 2)
}

func (s *Session) nextFrame(f *frame, r *parser.Reply) error {
	if f.header {
		return s.replies.Header(r)
	}
	return s.replies.Next(r)
}

// frame takes a frame as what it is. It reports false if it should be read again when its request
// is there, which may only be if canWait.
func (s *Session) frame(f *frame, r *parser.Reply, canWait bool) bool {
	// The request of a frame that came in several segments may have overtaken it.
	f.awaited = f.awaited || !f.begunReleased && !s.pending.empty()
	switch r.Type {
	case '_', '#', ',', '%', '~', '(', '=':
		s.resp = 3
	case '>':
		s.resp = 3
		return s.push(f, r, canWait)
	case '+':
		if s.isMonitorLine(r) {
			return true
		}
	case '*':
		if s.isMessage(f, r) {
			s.subscriptions.guess()
			return true
		}
		if of := ackOf(r); of != noSet && s.mayAcknowledge(f, r) {
			return s.acknowledgement(f, r, of, canWait)
		}
	}
	if s.doubt.on && !s.settleDoubt(f, r, canWait) {
		return false
	}
	if f.awaited {
		s.answer(f, r)
		return true
	}
	return s.orphan(f, r, canWait)
}

// orphan takes a frame that answers no command that we know of.
func (s *Session) orphan(f *frame, r *parser.Reply, canWait bool) bool {
	switch {
	case isProtocolError(r):
		// Our own reading of the requests may have come to that already, or not to their end.
		if !s.requestsClosed {
			s.shared.Counters.ProtocolErrors.Add(1)
			s.closeRequests()
		}
		return true
	case canWait && !s.requestsClosed:
		return false
	case !s.evidence.asked:
		s.opening.unasked++
		if s.opening.banner == 0 && IsGreeting(r.Type) {
			s.opening.banner = s.replyTime
		}
		return true
	case s.subscriptions.any() && r.Type == '*' && hasMessageShape(r):
		return true // no request came that it could answer
	}
	s.unpaired(Unsolicited, 1)
	if s.unknownPast || s.replyMode == suppressed || s.requestsClosed || f.blind || s.requestUnfinished(f) {
		// We were wrong about what was outstanding, or about CLIENT REPLY, or about the server
		// having closed the requests, or this answers a request that we have not seen, or not to
		// its end.
		s.reportFalseProof()
		s.desync(UnsolicitedReply, event.Reply, s.replyTime)
	}
	return true
}

// isProtocolError recognises the last reply of a server to a client that does not speak RESP.
func isProtocolError(r *parser.Reply) bool {
	return r.Type == '-' && bytes.HasPrefix(r.Text, []byte("ERR Protocol error"))
}

// expected returns the command that the next reply answers: a queued one while the array of EXEC is
// read, else the oldest.
func (s *Session) expected() *pending {
	if s.transaction.running {
		return s.transaction.queue.at(0)
	}
	return s.pending.at(0)
}

// answer gives a reply to the command that expects it.
func (s *Session) answer(f *frame, r *parser.Reply) {
	p := s.expected()
	switch {
	case p.verb == reset && s.replyMode != answering && !bytes.Equal(r.Text, []byte("RESET")):
		s.resetSuppressed(f, r)
	case r.Type == '-' || r.Type == '!':
		s.refuse(p, r)
	case s.isQueued(p, r):
		s.enqueue()
		s.completeSuppressed()
	default:
		s.accept(f, p, r)
	}
}

// refuse ends a command by an error reply.
func (s *Session) refuse(p *pending, r *parser.Reply) {
	if isProtocolError(r) && !s.transaction.running && p.verb != script {
		// The server stopped reading at what we took for a command.
		s.shared.Counters.ProtocolErrors.Add(1)
		s.shared.Counters.Unexecuted.Add(uint64(s.Outstanding()))
		s.end(outstanding | inTransaction | inDoubt)
		s.closeRequests()
		return
	}
	prefix := command.LookupPrefix(r.Text)
	if p.verb == exec && s.transaction.open && (p.flags&odd == 0 || prefix == execAborted) {
		s.transaction.end()
	}
	s.finish(Error, prefix)
}

// execAborted is the prefix by which EXEC refuses and ends a transaction.
var execAborted = command.LookupPrefix([]byte("EXECABORT "))

// accept ends a command by a reply that is no error, and does to the session what the command did
// to the connection.
func (s *Session) accept(f *frame, p *pending, r *parser.Reply) {
	if s.unknownPast && s.resp == 2 && s.subscriptions.any() && !s.transaction.running && !p.verb.inSubscribedMode() {
		s.subscriptions.clear() // a subscribed connection would have been refused this
	}
	switch p.verb {
	case ordinary:
	case script:
		if r.NestedError {
			s.finish(Error, command.OtherPrefix)
			return
		}
	case exec:
		s.executed(f, r)
		return
	default:
		if s.effect(p.verb, r) {
			return
		}
	}
	s.finish(Success, command.OtherPrefix)
}

// effect does to the session what a command does that succeeded. It returns true if it has ended
// the command as well.
func (s *Session) effect(v verb, r *parser.Reply) bool {
	switch v {
	case multi:
		s.transaction.begin()
	case discard:
		s.transaction.end()
	case reset:
		s.to(WasReset)
	case hello:
		s.resp, s.subscriptions.arrays = 2, false
		if r.Type == '%' {
			s.resp = 3
		}
	case ping:
		if s.unknownPast && s.resp == 2 && !s.subscriptions.counted() {
			s.subscriptions.guessed = r.Type == '*' // only a subscribed connection is answered so
		}
	case monitor:
		s.monitors = true
	case replyOn:
		s.replyMode = answering
	case quit:
		s.quit(1)
	case psync:
		if bytes.HasPrefix(r.Text, []byte("FULLRESYNC")) || bytes.HasPrefix(r.Text, []byte("CONTINUE")) || bytes.HasPrefix(r.Text, []byte("RDBCHANNELSYNC")) {
			s.finish(Success, command.OtherPrefix)
			s.link(SyncAnswered)
			return true
		}
	case syncSlots:
		s.finish(Success, command.OtherPrefix)
		s.link(SyncAnswered)
		return true
	}
	return false
}

// finish ends the command that the current frame answers.
func (s *Session) finish(outcome Outcome, prefix command.Prefix) {
	if s.transaction.running {
		s.finishQueued(outcome, prefix)
		return
	}
	p := s.pending.at(0)
	s.killedSelf = p.verb == kill && outcome == Success
	s.emit(p, 1, outcome, prefix, NoReason, s.replyTime)
	s.pending.pop(1)
	if !s.pending.empty() {
		s.completeSuppressed()
	}
}

// link makes the session that of a replica. Its requests are not answered from now on.
func (s *Session) link(cause Cause) {
	s.shared.Counters.Connections[KindReplica].Add(1)
	s.to(cause)
	s.replies.Reset()
	for i := range s.pending.runs {
		s.pending.at(i).flags |= noReply
	}
	s.completeSuppressed()
}

// malformedReply: the server sent bytes that are not RESP.
func (s *Session) malformedReply() {
	switch {
	case !s.evidence.answered && !s.unknownPast:
		s.recognise(KindNotRedis)
		return
	case s.requestsClosed:
		s.replies.Reset()
		return
	}
	s.desync(MalformedReply, event.Reply, s.replyTime)
}
