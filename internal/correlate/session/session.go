package session

import (
	"math"
	"time"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// Shared is what the sessions of one tracker have in common. It belongs to the tracker's goroutine,
// but for Counters.
type Shared struct {
	Commands       *command.Table
	Sockets        bool  // the events are those of sockets, not of packets
	MaxOutstanding int   // commands of one session, at most
	Quiet          int64 // how long a drained connection must have been silent for its next request to be a boundary, in nanoseconds
	SlowFrom       int64 // exchanges that took so long, in nanoseconds, are passed to Places as well; 0: none
	Waits          bool  // pass to Places how long what the observed end received lay in its socket
	Now            int64 // the latest time of any event
	Stalled        bool  // set where a client went on asking though its oldest request is unanswered for long (stalledAfter)
	Counters       Counters
	Out            Exchanges
	weight         weight             // of the frame that is being read
	read           Arrival            // the chunk that is being read, if Waits
	Trace          func(State, Cause) // is called at every change of state, before it, unless nil; for tests
}

// Session is the protocol's state of one connection: what is outstanding, and what the bytes to
// come will mean. It is given the bytes of both directions in their order. It stays where Init
// found it.
type Session struct {
	shared *Shared
	places Places
	call   *call // that carried the commands that ended last; nil unless Shared.SlowFrom is set
	role   event.Role

	state    State
	requests parser.RequestStream
	replies  parser.ReplyStream
	pending  fifo
	template template // for requests equal to the last one

	requestTime int64 // when the chunk was sent in which the current request begins
	replyTime   int64 // when the chunk of replies was received that is being read, or was read last
	unfinished  begun // the reply frame that goes on in the next chunk

	// The modes, orthogonal to the state. The table of transitions says which survive what.
	replyMode      replyMode
	transaction    transaction
	subscriptions  subscriptions
	resp           uint8 // version of the protocol, 2 or 3
	monitors       bool
	requestsClosed bool  // the server reads no more requests
	unknownPast    bool  // part of its history was missed: it may be subscribed, monitoring or in a transaction
	requestsEnd    int64 // the server reads none that was sent at this time or later
	probation      probation
	doubt          doubt

	resync     resync     // of Desynced, and why it was
	unreadable unreadable // payload that is in no program's memory
	opening    opening    // what stood before the first request
	evidence   evidence   // that the connection is Redis
	unread     [2]uint32  // bytes by event.Direction that belong to no message yet
	killedSelf bool       // the last reply was that of a CLIENT KILL: should the server close now, the connection killed itself
}

// Init begins the session of a connection of which nothing is known but that it was silent since a
// time. If that is long enough, its first words are the whole answer or the only request: a client
// that awaited a reply would have to wait for it.
func (s *Session) Init(shared *Shared, places Places, role event.Role, silentSince int64) {
	*s = Session{shared: shared, places: places, role: role, state: Desynced, unknownPast: true, resp: 2, requestsEnd: math.MaxInt64}
	s.pending.owner, s.transaction.queue.owner = s, s
	s.resync = newResync(MidStream, event.Request, shared.Now)
	if shared.Now-silentSince >= shared.Quiet {
		s.resync = newResync(MidStream, event.Reply, silentSince)
	}
}

// Open notes that the connection was established just now. Early is set if payload passes before
// that (TCP Fast Open).
func (s *Session) Open(early bool) {
	s.to(Opened)
	s.opening.first = !early
}

// Resume notes that the connection was established before and has been silent since a time. Awaited
// is set if its client sent last.
func (s *Session) Resume(awaited bool, time int64) {
	last := event.Reply
	if awaited {
		last = event.Request
	}
	s.resync = newResync(MidStream, last, time)
}

// Arrival is how bytes come to be read.
type Arrival struct {
	Time int64  // of their event
	End  uint32 // offset behind them
	How  How
	// Readable is when they became readable in the socket; nil if nothing is known.
	Readable *event.Arrivals
}

// How is what else matters about an Arrival, as bits.
type How uint8

// The bits. Released and Outdated are of replies that waited for their request.
const (
	OtherHeld How = 1 << iota // segments of the other direction wait in its reorder buffer
	Greeted                   // nothing was asked yet, and a held reply was received before that IsGreeting
	Released                  // they wait no longer: a reply that answers nothing is dropped
	Outdated                  // they came before the oldest request was sent, and do not answer it
)

func (h How) has(bit How) bool { return h&bit != 0 }

// State returns the state.
func (s *Session) State() State { return s.state }

// Closed reports whether nothing is read any more.
func (s *Session) Closed() bool { return s.state >= Foreign }

// Ignores reports whether nothing of a direction is read: of what a master sends to its replica.
func (s *Session) Ignores(d event.Direction) bool { return s.state == Replica && d == event.Reply }

// RequestsClosed reports whether the server reads no more requests.
func (s *Session) RequestsClosed() bool { return s.requestsClosed }

// Asked reports whether a request has begun.
func (s *Session) Asked() bool { return s.evidence.asked }

// Outstanding returns how many commands await their outcome.
func (s *Session) Outstanding() uint32 { return s.pending.count + s.transaction.queue.count }

// Busy reports whether anything is outstanding. While desynced it goes by which end sent last.
func (s *Session) Busy() bool {
	return s.Outstanding() > 0 || s.subscriptions.any() || s.monitors || s.state == Replica ||
		s.state == Desynced && s.resync.last == event.Request
}

// desync ends pairing because of bytes that passed in a direction at a time: nothing that is
// outstanding can be paired any more.
func (s *Session) desync(cause Cause, d event.Direction, time int64) {
	reason := transitions[cause].reason
	if cause == ProofFailed {
		reason = s.resync.reason
	}
	s.unpaired(reason, s.Outstanding())
	s.to(cause)
	s.replies.Reset()
	s.resync = newResync(reason, d, time)
	if cause == GapSeen && d == event.Request {
		s.requests.Reset()
		return
	}
	s.resync.follows = true // the rest of the requests can be counted
}

// Dismiss gives the connection up as one of a stream that cannot be read.
func (s *Session) Dismiss(stream event.Stream) {
	if s.Closed() {
		return
	}
	s.unpaired(Gap, s.Outstanding())
	s.end(outstanding | inTransaction)
	s.recognise(kindOf[stream])
}

// recognise gives the connection up as one of a kind that is not read.
func (s *Session) recognise(kind Kind) {
	s.shared.Counters.Connections[kind].Add(1)
	s.evidence.encrypted = s.evidence.encrypted || kind == KindTLS
	s.shared.Counters.Unexecuted.Add(uint64(s.Outstanding()))
	s.to(Recognised)
	s.Release()
}

// Abandon ends a session whose end is not seen. What is outstanding counts as unpaired.
func (s *Session) Abandon(reason Reason) {
	s.unpaired(reason, s.Outstanding())
	s.end(outstanding | inTransaction | inDoubt)
	s.passUnread(event.Request)
	s.passUnread(event.Reply)
}

// Release gives back the memory of the FIFOs.
func (s *Session) Release() {
	s.pending.release()
	s.transaction.queue.release()
}

// Places returns how many places the FIFOs have.
func (s *Session) Places() int { return len(s.pending.ring) + len(s.transaction.queue.ring) }

// Fit gives back the places that the session does not use.
func (s *Session) Fit() {
	s.pending.fit()
	s.transaction.queue.fit()
}

// Surrender gives all places back for others. What is outstanding is lost.
func (s *Session) Surrender() {
	s.desync(Overflowed, event.Request, s.shared.Now)
	s.Release()
}

const stalledAfter = int64(time.Second) // how long a request is unanswered when another one is sent

// checkStalled notes that a client sends at a time although its oldest request is unanswered for
// long.
func (s *Session) checkStalled(time int64) {
	if s.role == event.Client && s.shared.Sockets && time-s.pending.at(0).time > stalledAfter {
		s.shared.Stalled = true
	}
}

// clampCount makes a number of elements that a server announced a count of commands.
func clampCount(n int64) uint32 {
	return uint32(max(0, min(n, math.MaxInt32)))
}
