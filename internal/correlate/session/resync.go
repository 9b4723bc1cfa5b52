package session

import (
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// A desynced connection has an unknown number of commands outstanding. It is synced again at a
// request chunk that begins with a well-formed multibulk header, if nothing can be outstanding at
// that point. Three observations count as proof:
//
//   - Quiet. The server sent last, nothing that was asked since is unanswered, and then both
//     directions were silent for Shared.Quiet. A server answers in order and at once; only a
//     blocked one is silent, and then its client sent last.
//   - Lockstep. In many rounds without a break, the client sent whole requests in chunks that
//     begin with one, the server answered with exactly as many whole frames, and only then the
//     next chunk was sent: events may come in another order, their times decide. A client that
//     keeps a window of several requests open breaks this soon, because two replies arrive
//     together, or two requests leave before one does. At the server's end few rounds are enough:
//     it answers all that it has read before it reads again.
//   - Waiting. Of such rounds one is enough if the client was answered, asked for one thing that
//     blocks, waited for Shared.Quiet or longer, and got exactly one frame. Who sends a command
//     that blocks shares the connection with nobody: a client that keeps a window open would
//     block all of it. If anything else had been outstanding, its reply would have come at once
//     behind the awaited one, or during the silence. It must be a command that blocks: on a long
//     way to the server every client is silent, and some have a window open.
//
// A connection that was synced by silence alone is on probation (probation.go). Should a proof fail
// us all the same, a reply is left over at the next pause, and the connection is desynced again
// (Unsolicited).
//
// ClientRounds and ServerRounds are how many rounds are lockstep, as seen from either end.
const (
	ClientRounds = 64
	ServerRounds = 8
)

// resync is what is known of a desynced connection.
type resync struct {
	reason Reason          // why it is
	last   event.Direction // in which direction bytes passed last,
	// follows: no request byte is missing since the connection was synced, so that each request is
	// counted, wherever chunks end.
	follows bool
	cut     bool  // in mid-stream, bytes were passed over that may be of requests: at least one is not counted
	when    int64 // when they passed
	trial   trial
}

// trial follows a connection as if it were synced, to see whether it is in lockstep.
type trial struct {
	on          bool
	asked       bool // one request is outstanding, it blocks, and the client had been answered before,
	silent      bool // since then nothing passed for Shared.Quiet,
	waited      bool // and then exactly one frame
	rounds      int32
	outstanding int64
}

func newResync(reason Reason, last event.Direction, when int64) resync {
	return resync{reason: reason, last: last, when: when}
}

// pass notes that bytes passed, unless they had to wait for their turn until something later was
// read.
func (y *resync) pass(when int64, d event.Direction) {
	if when >= y.when {
		y.last, y.when = d, when
	}
}

// requestDesynced reads a request chunk of a desynced connection; nil after a gap that may have
// completed a request.
func (s *Session) requestDesynced(data []byte, a Arrival) {
	if s.requestsClosed {
		return
	}
	y := &s.resync
	if data != nil {
		s.noteReadable(event.Request)
	}
	if s.isEncrypted(data) {
		s.recognise(KindTLS)
		return
	}
	if startsRequest(data) && y.last == event.Reply && y.trial.outstanding == 0 && !s.repliesUnreadable() && s.isBoundary(a.Time) {
		s.sync(a.Time)
		s.request(data, a)
		return
	}
	s.tryRequest(data, a.Time)
	y.pass(a.Time, event.Request)
}

// breaksSilence reports whether a reply of a desynced connection ends a silence in which nothing
// known was outstanding. Most likely it is ahead of its request, which is a boundary then.
func (s *Session) breaksSilence(time int64) bool {
	y := &s.resync
	return y.last == event.Reply && y.trial.outstanding == 0 && time-y.when >= s.shared.Quiet && s.mayWait() && !s.repliesUnreadable()
}

// isBoundary reports whether it is proven that nothing is outstanding, given that all known
// requests are answered.
func (s *Session) isBoundary(time int64) bool {
	return time-s.resync.when >= s.shared.Quiet || s.inTurn(time)
}

// inTurn reports whether it is proven by lockstep or waiting that nothing is outstanding.
func (s *Session) inTurn(time int64) bool {
	y := &s.resync
	return y.trial.on && (y.trial.rounds >= s.lockstepRounds() || y.trial.waited) && time >= y.when && s.requests.Boundary() && s.replies.Boundary()
}

// lockstepRounds returns how many rounds are lockstep.
func (s *Session) lockstepRounds() int32 {
	if s.role == event.Server {
		return ServerRounds
	}
	return ClientRounds
}

// sync begins to pair at a time. Frames of RESP2 that looked like messages may have been replies:
// whether it is subscribed has to show again.
func (s *Session) sync(time int64) {
	bySilence := !s.inTurn(time)
	s.countCut()
	s.to(BoundaryFound)
	if bySilence {
		s.probation = probation{stage: mute, since: time}
	}
	s.requests.Reset()
	s.replies.Reset()
	s.requestTime, s.replyTime = 0, 0
}

// tryRequest follows a request chunk in the trial, and counts its requests as unpaired.
func (s *Session) tryRequest(data []byte, time int64) {
	y := &s.resync
	answered := y.last == event.Reply && s.requests.Boundary() && startsRequest(data)
	switch continues := (y.trial.on || y.follows) && !s.requests.Boundary(); {
	case continues:
	case !startsRequest(data):
		y.trial = trial{}
		if !y.follows {
			y.cut = y.reason == MidStream
			return
		}
	case y.trial.on && y.last == event.Reply && time >= y.when && y.trial.outstanding == 0 && s.replies.Boundary():
		y.trial.rounds++
	case y.trial.on && y.last == event.Request:
		// More requests before a reply are no offence: a large pipeline leaves in several chunks.
	default:
		s.requests.Reset()
		s.replies.Reset()
		y.trial = trial{on: true}
	}
	s.requests.Feed(data)
	blocking := s.countRequests()
	y.trial.asked, y.trial.silent, y.trial.waited = false, false, false
	if answered && blocking && y.trial.on && y.trial.outstanding == 1 && s.requests.Boundary() {
		y.trial.asked = true
	}
	if time < y.when {
		y.trial = trial{} // its replies may have been read already
	}
}

// countRequests counts the complete requests of the chunk that was fed. It reports whether the last
// of them blocks.
func (s *Session) countRequests() (blocks bool) {
	var r parser.Request
	n := uint32(0)
	for {
		err := s.requests.Next(&r)
		if err != nil {
			if err == parser.ErrMalformed {
				s.requests.Reset()
				s.resync.trial, s.resync.follows = trial{}, false
			}
			break
		}
		n++
		blocks = blocking(s.shared.Commands.Lookup(r.Argv[0], r.Argv[1]), &r) != 0
		if s.resync.trial.on {
			s.resync.trial.outstanding++
		}
		if s.isAck(&r) {
			s.evidence.resp = true
			s.unpaired(s.resync.reason, n-1)
			s.link(AckSent) // the rest of the chunk is the link's
			s.requestTime = s.resync.when
			s.take(&r)
			s.readRequests(s.resync.when)
			return false
		}
	}
	s.evidence.resp = s.evidence.resp || n > 0
	s.unpaired(s.resync.reason, n)
	if n > 0 {
		s.countCut()
	}
	return blocks
}

// countCut counts the request of which only the end was seen, once it shows that the connection is
// Redis. How many complete ones were behind it is not known.
func (s *Session) countCut() {
	if s.resync.cut {
		s.resync.cut = false
		s.unpaired(MidStream, 1)
	}
}

// isAck recognises what only a replica sends, all the time: REPLCONF ACK.
func (s *Session) isAck(r *parser.Request) bool {
	id := s.shared.Commands.Lookup(r.Argv[0], nil)
	return verbOf(id, r) == replconf && r.Args >= 2 && len(r.Argv[1]) == 3 && r.Argv[1][0]|0x20 == 'a' && r.Argv[1][1]|0x20 == 'c' && r.Argv[1][2]|0x20 == 'k'
}

// replyDesynced reads a reply chunk of a desynced connection.
func (s *Session) replyDesynced(data []byte, time int64) {
	y := &s.resync
	s.noteReadable(event.Reply)
	if s.isEncrypted(data) {
		s.recognise(KindTLS)
		return
	}
	if t := &y.trial; t.asked && y.last == event.Request {
		t.silent = time-y.when >= s.shared.Quiet
	}
	y.pass(time, event.Reply)
	if !y.trial.on {
		s.peekPushed(data)
		return
	}
	s.replies.Feed(data)
	var r parser.Reply
	for {
		err := s.replies.Next(&r)
		switch {
		case err == parser.ErrMalformed:
			y.trial = trial{}
			s.replies.Reset()
			return
		case err != nil:
			return
		}
		s.noteAnswer()
		if s.isPushed(&r) {
			y.trial.asked, y.trial.silent = false, false
			continue
		}
		y.trial.waited = y.trial.silent && y.trial.outstanding == 1 && !hasMessageShape(&r) && ackOf(&r) == noSet
		y.trial.silent = false
		y.trial.outstanding--
		if y.trial.outstanding < 0 || !s.requests.Boundary() {
			// It answers a request that we have not seen.
			y.trial = trial{}
			s.replies.Reset()
			return
		}
	}
}

// peekPushed checks whether a reply chunk begins with a message or a line of MONITOR, which shows
// what the connection is used for.
func (s *Session) peekPushed(data []byte) {
	if len(data) == 0 || data[0] != '*' && data[0] != '>' && data[0] != '+' {
		return
	}
	s.replies.Reset()
	s.replies.Feed(data)
	var r parser.Reply
	if s.replies.Next(&r) == nil {
		s.isPushed(&r)
	}
	s.replies.Reset()
}

// isPushed recognises, while desynced, frames that answer nothing.
func (s *Session) isPushed(r *parser.Reply) bool {
	switch {
	case r.Type == '>':
		s.resp = 3
		s.subscriptions.guessed = s.subscriptions.guessed || !s.subscriptions.counted() && hasMessageShape(r)
		return true
	case r.Type == '+':
		return s.isMonitorLine(r)
	case r.Type == '*' && hasMessageShape(r) && s.resync.trial.outstanding <= 0:
		s.subscriptions.guess()
		return true
	default:
		return false
	}
}

// startsRequest reports whether a chunk begins with the header of a multibulk request and that of
// its first argument.
func startsRequest(data []byte) bool {
	if len(data) < len("*1\r\n$") || data[0] != '*' || data[1] < '1' || data[1] > '9' {
		return false
	}
	for i := 2; i+2 < len(data) && i < len("*2147483647"); i++ {
		switch {
		case data[i] == '\r':
			return data[i+1] == '\n' && data[i+2] == '$'
		case data[i]-'0' > 9:
			return false
		}
	}
	return false
}

// isEncrypted recognises a connection of TLS by a chunk of either direction: a program sends whole
// records, but many receive the header of one by itself.
func (s *Session) isEncrypted(data []byte) bool {
	return !s.evidence.resp && looksEncrypted(data)
}

// looksEncrypted recognises TLS records of any type, since the connection may be past its
// handshake. A chunk has to be made of whole ones: in mid-stream it may begin within a value, whose
// bytes say nothing.
func looksEncrypted(data []byte) bool {
	for rest := data; len(rest) > 0; {
		n := recordLength(rest)
		if n == 0 || n > len(rest) {
			return false
		}
		rest = rest[n:]
	}
	return len(data) > 0
}

// recordLength returns the length of the TLS record that begins here, its header included, and 0 if
// none does (RFC 5246, section 6.2).
func recordLength(data []byte) int {
	const header, longest = 5, 1<<14 + 2048
	if len(data) < header || data[0] < 0x14 || data[0] > 0x17 || data[1] != 0x03 || data[2] > 0x04 {
		return 0
	}
	n := int(data[3])<<8 | int(data[4])
	if n == 0 || n > longest {
		return 0
	}
	return header + n
}
