package session

import (
	"bytes"
	"math"
	"time"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// A command that is to get no reply (CLIENT REPLY OFF or SKIP, REPLCONF ACK, a second MONITOR) gets
// one all the same if the server refuses it: an error. So it stays in the FIFO, and with it the
// commands behind it, until that is settled: by an error that can only be a refusal, by any other
// reply, which then is that of a later command, or because a refusal would have come by now.

// doubtFor is how long after the request, or after the reply before it, a refusal may come.
const doubtFor = int64(time.Second)

// doubt is whether the oldest command, which is to get no reply, was refused.
type doubt struct {
	on        bool // it is not settled yet
	undecided bool // a held error may be its refusal, or answer a request that has not been read yet
}

// mayBeRefused reports whether it is not settled yet if the oldest command, which is to get no
// reply, is refused.
func (s *Session) mayBeRefused(p *pending) bool {
	s.doubt.on = s.state == Paired && s.shared.Now < max(p.time, s.replyTime)+doubtFor
	return s.doubt.on
}

// InDoubt reports whether it is open if the oldest command was refused.
func (s *Session) InDoubt() bool { return s.doubt.on }

// DoubtUntil returns when a refusal of the oldest command would have come, math.MaxInt64 if there
// is no doubt.
func (s *Session) DoubtUntil() int64 {
	if !s.doubt.on {
		return math.MaxInt64
	}
	return max(s.pending.at(0).time, s.replyTime) + doubtFor
}

// ExpireDoubt goes on where a refusal would have come by now.
func (s *Session) ExpireDoubt() {
	if s.doubt.on {
		s.completeSuppressed()
	}
}

// EndDoubt goes on as if no refusal will come.
func (s *Session) EndDoubt() {
	if s.doubt.on {
		s.assumeObeyed()
	}
}

// Reconsider lets a held error be judged anew: more has been read, or it may wait no longer.
func (s *Session) Reconsider() { s.doubt.undecided = false }

// assumeObeyed ends the doubt: the oldest command was obeyed, and so were those behind it up to the
// first one that is answered.
func (s *Session) assumeObeyed() { s.completeObeyed(true) }

// answersLater reports whether a frame with this first byte shows that the command in doubt was
// obeyed, whatever else is in it.
func (s *Session) answersLater(kind byte) bool {
	switch kind {
	case '-', '!', '>', '|':
		return false
	case '+':
		return !s.monitors
	case '*':
		return !s.subscriptions.any()
	default:
		return true
	}
}

// settleDoubt finds out from a reply whether the command in doubt was refused. It reports false if
// the reply should wait for its request.
func (s *Session) settleDoubt(f *frame, r *parser.Reply, canWait bool) bool {
	if f.awaited && (r.Type == '-' || r.Type == '!') {
		switch s.judge(r) {
		case undecided:
			if canWait {
				s.doubt.undecided = true
				return false
			}
			fallthrough
		case refused:
			s.doubt.on = false
			return true
		}
	}
	s.assumeObeyed()
	f.awaited = !s.pending.empty() && !f.outdated
	return true
}

// verdict is what an error means for the command in doubt.
type verdict uint8

const (
	refused   verdict = iota
	obeyed            // it answers a later command
	undecided         // it may answer a request that has not been read yet
)

// judge decides what an error means for the oldest command.
func (s *Session) judge(r *parser.Reply) verdict {
	head := s.pending.at(0)
	switch {
	case isProtocolError(r):
		return obeyed
	case head.verb == replyOff:
		return refused // suppressed replies include errors
	case refuses(head, r):
		return refused
	case neverRefuses[command.LookupPrefix(r.Text)]:
		return obeyed
	}
	switch answered, later := s.answeredAhead(); {
	case answered == 0 && !later:
		return undecided
	case answered == 0:
		return refused
	case answered < looksAhead && bytes.HasPrefix(r.Text, []byte("BUSY ")) && s.framesBehind(answered) == answered:
		return refused // all get this error, and one more than would
	default:
		return obeyed
	}
}

// refuses reports whether the text of an error says that it is about a command that was to get no
// reply.
func refuses(p *pending, r *parser.Reply) bool {
	switch {
	case bytes.HasPrefix(r.Text, []byte("NOAUTH ")):
		return true
	case p.verb == replySkip:
		return names(r.Text, "client'") || names(r.Text, "client`") || names(r.Text, "client|reply") || names(r.Text, "reply'")
	case p.verb == monitor:
		return names(r.Text, "monitor")
	default:
		return names(r.Text, "replconf")
	}
}

// names reports whether a text has a quoted word, in lower or upper case.
func names(text []byte, word string) bool {
	for i := 0; i+1+len(word) <= len(text); i++ {
		if (text[i] == '\'' || text[i] == '`') && bytes.EqualFold(text[i+1:i+1+len(word)], []byte(word)) {
			return true
		}
	}
	return false
}

// neverRefuses are the errors by which no server refuses a command that was to get no reply: they
// are about keys.
var neverRefuses = func() map[command.Prefix]bool {
	set := make(map[command.Prefix]bool)
	for _, prefix := range []string{"WRONGTYPE", "MOVED", "ASK", "CROSSSLOT", "NOSCRIPT", "EXECABORT", "OOM", "READONLY", "BUSYGROUP", "NOGROUP", "BUSYKEY", "TRYAGAIN"} {
		set[command.LookupPrefix([]byte(prefix+" "))] = true
	}
	delete(set, command.OtherPrefix)
	return set
}()

// looksAhead is how many commands and frames are looked at.
const looksAhead = 64

// answeredAhead returns how many commands are answered if the oldest one is obeyed, of those that
// were sent before the current frame: looksAhead if that is not known. Later is set if one was sent
// after it: then all that were sent before have been read.
func (s *Session) answeredAhead() (answered int, later bool) {
	mode, looks := answering, 0
	if s.subscriptions.any() || s.monitors {
		return looksAhead, false
	}
	for i := range s.pending.runs {
		p := s.pending.at(i)
		if p.time > s.replyTime {
			return answered, true
		}
		if p.verb.subscribes() || p.verb >= monitor && p.verb <= syncSlots || p.verb == multi {
			return looksAhead, false // the number of its frames is not known, or it defers the commands behind it
		}
		for range p.count() {
			if looks++; looks > looksAhead {
				return looksAhead, false
			}
			if !mode.suppresses(p.verb, p.flags) {
				answered++
			}
			mode = mode.after(p.verb)
		}
	}
	return answered, false
}

// framesBehind counts the replies, up to most, that came with the current frame and stand behind
// it.
func (s *Session) framesBehind(most int) (n int) {
	replies := s.replies
	var r parser.Reply
	for n < most && replies.Next(&r) == nil {
		if r.Type != '>' {
			n++
		}
	}
	return n
}
