package session

import (
	"bytes"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// opening is what stood before the first request.
type opening struct {
	first   bool // nothing of the request stream has been read, which will be from its first byte
	preface parser.Preface
	proxied int64  // when a line of the PROXY protocol passed that the server may refuse; 0: none, or it has answered since
	banner  int64  // when the server spoke first, as no Redis server does; 0: never
	unasked uint32 // replies before the first request that have not been counted yet
}

// evidence is what the connection has shown of Redis.
type evidence struct {
	asked     bool // a request has begun
	resp      bool // either end showed RESP
	answered  bool // the server did
	encrypted bool // the connection counts as one of TLS
}

// noteAnswer notes that the server showed RESP.
func (s *Session) noteAnswer() {
	if !s.evidence.answered {
		s.evidence.resp, s.evidence.answered = true, true
		s.shared.Counters.Connections[KindRedis].Add(1)
	}
}

// firstRequest reads a chunk while no request has begun: a proxy may say first for whom it speaks,
// and the protocol may be another one.
func (s *Session) firstRequest(data []byte, a Arrival) {
	s.CountUnasked()
	again := ""
	if s.opening.first {
		var state parser.PrefaceState
		again, data, state = s.opening.preface.Skip(data)
		if state == parser.PrefaceUndecided {
			return
		}
		s.opening.first = false
		if state == parser.PrefaceLine {
			s.opening.proxied = a.Time
		}
	}
	switch {
	case again == "" && len(data) == 0:
		return
	case again == "" && parser.LooksLikeTLS(data):
		s.recognise(KindTLS)
		return
	case s.greeted(a) && (again != "" || data[0] != '*'):
		s.recognise(KindNotRedis)
		return
	}
	s.evidence.asked = true
	if again != "" {
		s.readChunk([]byte(again), a.Time)
	}
	if len(data) > 0 && s.state != Foreign {
		s.request(data, a)
	}
}

// greeted reports whether the server spoke before a request was sent: as those of POP3 do, whose
// greeting is a reply by its form. The times decide, whichever event came first.
func (s *Session) greeted(a Arrival) bool {
	return !s.unknownPast && (a.How.has(Greeted) || s.opening.banner != 0 && s.opening.banner < a.Time)
}

// A reply before the first request answers a request that is missing, or none at all. The next byte
// of the requests, or the end of the connection, decides; until then such a reply is not counted.

// CountUnasked counts the replies before the first request as unsolicited: no request is missing.
func (s *Session) CountUnasked() {
	s.shared.Counters.Unsolicited.Add(uint64(s.opening.unasked))
	s.opening.unasked = 0
}

// loseUnasked counts the replies before the first request as unpaired: requests are missing.
func (s *Session) loseUnasked() {
	s.unpaired(Gap, s.opening.unasked)
	s.opening.unasked = 0
}

// IsGreeting reports whether a frame with this first byte, if it answers nothing, is none that a
// Redis server sends: before it is asked it only refuses to serve.
func IsGreeting(kind byte) bool { return kind != '-' && kind != '>' && kind != '\n' }

// firstReply checks the first frame of the server. It reports false if the frame has been dealt
// with.
func (s *Session) firstReply(r *parser.Reply) bool {
	if !s.evidence.asked && IsGreeting(r.Type) {
		return true // whether it is Redis shows later
	}
	if IsGreeting(r.Type) && !s.unknownPast && !s.evidence.resp && !s.pending.empty() && s.replyTime < s.pending.at(0).time {
		s.recognise(KindNotRedis) // it was sent before the first request, which is inline
		return false
	}
	s.noteAnswer()
	line := s.opening.proxied
	s.opening.proxied = 0
	if line == 0 || !s.refusesPreface(r) {
		return true
	}
	s.emit(&pending{time: line, command: command.Other}, 1, Error, command.LookupPrefix(r.Text), NoReason, s.replyTime)
	return false
}

// refusesPreface reports whether a frame is the error of a server that does not support the PROXY
// protocol, to which its line is a command. Some send NOAUTH first; as AUTH itself never gets that,
// it is clear whom it is for.
func (s *Session) refusesPreface(r *parser.Reply) bool {
	switch {
	case r.Type != '-':
		return false
	case bytes.HasPrefix(r.Text, []byte("NOAUTH ")):
		return !s.pending.empty() && s.pending.at(0).command == command.Auth
	default:
		return bytes.HasPrefix(r.Text, []byte("ERR unknown command")) && bytes.Contains(r.Text, []byte("PROXY"))
	}
}
