package correlate

import (
	"math"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// A connection that is out of step has an unknown number of commands outstanding. It comes back into step at a request chunk
// that begins with a well-formed multibulk header, if nothing can be outstanding at that point. Three observations count as proof:
//
//   - Quiet. The server was heard last, nothing that was asked since is unanswered, and then both directions were silent for
//     Options.Quiet. A server answers in order and at once; only a blocked one is silent, and then its client was heard last.
//   - Lockstep. In many rounds without a break, the client sent whole requests in chunks that begin with one, the server answered
//     with exactly as many whole frames, and only then the next chunk was sent: events may come in another order, their times
//     tell. A client that keeps a window of several requests open breaks this soon, because two replies arrive together, or
//     two requests leave before one does.
//     At the server's end few rounds are enough: it answers all that it has read before it reads again.
//   - Waiting. Of such rounds one is enough if the client was answered, asked for one thing that blocks, waited for Options.Quiet or longer, and
//     got exactly one frame. Who asks for what blocks shares the connection with nobody: a client that keeps a window open would block all of it.
//     If anything else had been outstanding, its reply would have come at once behind what was waited for, or during the silence.
//     It must be a command that blocks: on a long way to the server every client is silent, and some have a window open.
//
// What came into step by silence alone is on probation (probation.go). Should a proof fail us all the same, a reply is left over at the next
// pause, and the connection is out of step again (Unsolicited).
const (
	clientRounds = 64
	serverRounds = 8
)

// resync is what is known of a connection that is out of step.
type resync struct {
	reason Reason          // why it is
	last   event.Direction // who was heard last,
	// follows: no request byte is missing since the connection was in step, so that each request is counted, wherever chunks end.
	follows bool
	when    int64 // when last was heard
	trial   trial
}

// trial follows a connection as if it were in step, to see whether it is in lockstep.
type trial struct {
	on          bool
	asked       bool // one request is outstanding, it blocks, and the client had been answered before,
	silent      bool // since then nothing passed for Options.Quiet,
	waited      bool // and then exactly one frame
	rounds      int32
	outstanding int64
}

func newResync(reason Reason, last event.Direction, when int64) resync {
	return resync{reason: reason, last: last, when: when}
}

// heard notes what passed, unless it had to wait for its turn until something later was read.
func (s *resync) heard(when int64, d event.Direction) {
	if when >= s.when {
		s.last, s.when = d, when
	}
}

// lostRequest reads a request chunk of a connection out of step; nil after a gap that may have completed a request.
func (c *conn) lostRequest(data []byte, time int64) {
	if c.deaf {
		return
	}
	s := &c.resync
	if data != nil {
		c.readAgain(event.Request)
	}
	if !c.spoke && looksEncrypted(data) {
		c.recognise(KindTLS)
		return
	}
	if startsRequest(data) && s.last == event.Reply && s.trial.outstanding == 0 && !c.repliesUnread() && c.isBoundary(time) {
		c.probation = probation{}
		if !c.inTurn(time) {
			c.probation = probation{stage: mute, since: time}
		}
		c.enterStep()
		c.request(data, time)
		return
	}
	c.tryRequest(data, time)
	s.heard(time, event.Request)
}

// isBoundary reports whether it is proven that nothing is outstanding, given that all we know of is answered.
func (c *conn) isBoundary(time int64) bool {
	s := &c.resync
	if time-s.when >= int64(c.tracker.options.Quiet) {
		return true
	}
	return c.inTurn(time)
}

// inTurn reports whether it is proven by lockstep or waiting that nothing is outstanding.
func (c *conn) inTurn(time int64) bool {
	s := &c.resync
	return s.trial.on && (s.trial.rounds >= c.lockstep() || s.trial.waited) && time >= s.when && c.requests.Boundary() && c.replies.Boundary()
}

// lockstep returns how many rounds are lockstep.
func (c *conn) lockstep() int32 {
	if c.role == event.Server {
		return serverRounds
	}
	return clientRounds
}

// enterStep begins to pair. In RESP2 what looked like messages may have been replies: whether it is subscribed has to show again.
func (c *conn) enterStep() {
	if c.proto == 2 {
		c.sub = subscriptions{}
	}
	c.requests.Reset()
	c.replies.Reset()
	c.mode, c.started, c.replying = paired, 0, 0
}

// tryRequest follows a request chunk in the trial, and counts what is in it as unpaired.
func (c *conn) tryRequest(data []byte, time int64) {
	s := &c.resync
	answered := s.last == event.Reply && c.requests.Boundary() && startsRequest(data)
	switch continues := (s.trial.on || s.follows) && !c.requests.Boundary(); {
	case continues:
	case !startsRequest(data):
		s.trial = trial{}
		if !s.follows {
			return
		}
	case s.trial.on && s.last == event.Reply && time >= s.when && s.trial.outstanding == 0 && c.replies.Boundary():
		s.trial.rounds++
	case s.trial.on && s.last == event.Request:
		// More requests before a reply are no offence: a large pipeline leaves in several chunks.
	default:
		c.requests.Reset()
		c.replies.Reset()
		s.trial = trial{on: true}
	}
	c.requests.Feed(data)
	blocking := c.countRequests()
	s.trial.asked, s.trial.silent, s.trial.waited = false, false, false
	if answered && blocking && s.trial.on && s.trial.outstanding == 1 && c.requests.Boundary() {
		s.trial.asked = true
	}
	if time < s.when {
		s.trial = trial{} // its replies may have been read already
	}
}

// countRequests counts the complete requests of the chunk that was fed. It reports whether the last of them blocks.
func (c *conn) countRequests() (blocks bool) {
	var r parser.Request
	n := uint32(0)
	for {
		err := c.requests.Next(&r)
		if err != nil {
			if err == parser.ErrMalformed {
				c.requests.Reset()
				c.resync.trial, c.resync.follows = trial{}, false
			}
			break
		}
		n++
		blocks = blocking(c.tracker.options.Commands.Lookup(r.Argv[0], r.Argv[1]), &r) != 0
		if c.resync.trial.on {
			c.resync.trial.outstanding++
		}
		if c.isAck(&r) {
			c.spoke = true
			c.unpaired(c.resync.reason, n-1)
			c.mode = paired // what else is in the chunk is the link's
			c.link()
			c.started = c.resync.when
			c.take(&r)
			c.readRequests(c.resync.when)
			return false
		}
	}
	c.spoke = c.spoke || n > 0
	c.unpaired(c.resync.reason, n)
	return blocks
}

// isAck recognises what only a replica sends, all the time: REPLCONF ACK.
func (c *conn) isAck(r *parser.Request) bool {
	id := c.tracker.options.Commands.Lookup(r.Argv[0], nil)
	return verbOf(id, r) == replconf && r.Args >= 2 && len(r.Argv[1]) == 3 && r.Argv[1][0]|0x20 == 'a' && r.Argv[1][1]|0x20 == 'c' && r.Argv[1][2]|0x20 == 'k'
}

// lostReply reads a reply chunk of a connection out of step.
func (c *conn) lostReply(data []byte, time int64) {
	s := &c.resync
	c.readAgain(event.Reply)
	if t := &s.trial; t.asked && s.last == event.Request {
		t.silent = time-s.when >= int64(c.tracker.options.Quiet)
	}
	s.heard(time, event.Reply)
	if !s.trial.on {
		c.glance(data)
		return
	}
	c.replies.Feed(data)
	var r parser.Reply
	for {
		err := c.replies.Next(&r)
		switch {
		case err == parser.ErrMalformed:
			s.trial = trial{}
			c.replies.Reset()
			return
		case err != nil:
			return
		}
		c.heardServer()
		if c.isPushed(&r) {
			s.trial.asked, s.trial.silent = false, false
			continue
		}
		s.trial.waited = s.trial.silent && s.trial.outstanding == 1 && !hasMessageShape(&r) && ackOf(&r) == noSet
		s.trial.silent = false
		s.trial.outstanding--
		if s.trial.outstanding < 0 || !c.requests.Boundary() {
			// An answer to what we have not seen.
			s.trial = trial{}
			c.replies.Reset()
			return
		}
	}
}

// glance looks whether a reply chunk begins with a message or a line of MONITOR, to know what the connection is used for.
func (c *conn) glance(data []byte) {
	if len(data) == 0 || data[0] != '*' && data[0] != '>' && data[0] != '+' {
		return
	}
	c.replies.Reset()
	c.replies.Feed(data)
	var r parser.Reply
	if c.replies.Next(&r) == nil {
		c.isPushed(&r)
	}
	c.replies.Reset()
}

// isPushed recognises, out of step, frames that answer nothing.
func (c *conn) isPushed(r *parser.Reply) bool {
	switch {
	case r.Type == '>':
		c.proto = 3
		c.sub.guessed = c.sub.guessed || !c.sub.counted() && hasMessageShape(r)
		return true
	case r.Type == '+':
		return c.isMonitorLine(r)
	case r.Type == '*' && hasMessageShape(r) && c.resync.trial.outstanding <= 0:
		c.sub.guessed = c.sub.guessed || !c.sub.counted()
		return true
	default:
		return false
	}
}

// startsRequest reports whether a chunk begins with the header of a multibulk request and that of its first argument.
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

// looksEncrypted recognises TLS records of any type, since the connection may be past its handshake. A chunk has to be made of whole ones: in
// mid-stream it may begin within a value, whose bytes say nothing.
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

// recordLength returns the length of the TLS record that begins here, its header included, and 0 if none does (RFC 5246, section 6.2).
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

// clampCount makes a number of elements that a server announced a count of commands.
func clampCount(n int64) uint32 {
	return uint32(max(0, min(n, math.MaxInt32)))
}
