package session

import (
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Outcome says how a command ended.
type Outcome uint8

// The outcomes of an Exchange. The first four are of commands; Unpaired is of those that could not
// be paired.
const (
	Success    Outcome = iota // a reply that is no error
	Error                     // an error reply; Prefix is set
	Silent                    // no reply by design; counted as success, no duration
	Unanswered                // the connection ended first; Reason is set, and says whether that is an error; duration up to the end
	Unpaired                  // Count commands or replies that could not be paired; Reason is set, Command is not; not counted as commands
)

// Exchange is the outcome of a command, or of several that are equal in everything, as those of a
// pipeline often are.
type Exchange struct {
	Identity identity.ID
	Command  command.ID
	Outcome  Outcome
	Reason   Reason
	Prefix   command.Prefix
	Count    uint32 // commands
	Duration int64  // of each, in nanoseconds; NoDuration if it is not known

	RequestBytes, ResponseBytes uint64 // of all of them, as far as they are known to belong to the command
	Nils                        uint32 // null replies
	NilElements                 uint32 // null elements of replies that are arrays
}

// NoDuration is the Duration of commands whose times were not captured.
const NoDuration = -1

// mergeable reports whether two exchanges differ in sums at most.
func (x *Exchange) mergeable(y *Exchange) bool {
	return x.Duration == y.Duration && x.Command == y.Command && x.Outcome == y.Outcome && x.Identity == y.Identity &&
		x.Prefix == y.Prefix && x.Reason == y.Reason
}

// add makes x the sum of two exchanges that are mergeable.
func (x *Exchange) add(y *Exchange) {
	x.Count += y.Count
	x.RequestBytes += y.RequestBytes
	x.ResponseBytes += y.ResponseBytes
	x.Nils += y.Nils
	x.NilElements += y.NilElements
}

// Reason qualifies Unanswered and Unpaired.
type Reason uint8

// The reasons. Unanswered has the first three; Unpaired has the others, and of the first three
// those of commands behind one that blocks, of which nobody can say whether the server ran them.
const (
	NoReason     Reason = iota
	ServerClosed        // the server closed or reset the connection: an error for the caller that waited
	Network             // neither end closed it: timeouts, or an administrator; an error likewise
	ClientClosed        // the client closed the connection without waiting for the reply: its own decision, no error
	MidStream           // the connection was first seen in mid-stream and is not synced yet
	Gap                 // bytes were not captured
	Unsolicited         // a reply that no request was seen for
	Malformed           // a reply that is not RESP, on a connection that spoke it before
	Transaction         // EXEC answered another number of commands than were queued
	Overflow            // more commands outstanding than there is room for
	LostClose           // the end of the connection was not seen
	Evicted             // the connection was removed to make room for others
	reasons
)

var reasonNames = [reasons]string{
	"none", "server_closed", "network", "client_closed", "mid_stream", "gap", "unsolicited", "malformed", "transaction", "overflow", "lost_close", "evicted",
}

// String returns the reason as a label value.
func (r Reason) String() string {
	if r >= reasons {
		return reasonNames[NoReason]
	}
	return reasonNames[r]
}

// Exchanges collects what the sessions of one tracker complete.
type Exchanges struct {
	Identity identity.ID      // of the connection whose session is called; the tracker sets it before each call
	List     []Exchange       // completed since the tracker emptied it
	Spill    func([]Exchange) // takes List when it is full, and keeps nothing of it; nil: List grows
}

// MaxListed is how many exchanges List holds if there is a Spill.
const MaxListed = 4096

// spill makes room for one more exchange.
func (e *Exchanges) spill() {
	if len(e.List) >= MaxListed && e.Spill != nil {
		e.Spill(e.List)
		e.List = e.List[:0]
	}
}

// emit reports the outcome of n equal commands, whose reply came at a time.
func (s *Session) emit(p *pending, n uint32, outcome Outcome, prefix command.Prefix, reason Reason, end int64) {
	out := &s.shared.Out
	out.spill()
	last := len(out.List)
	out.List = append(out.List, Exchange{})
	x := &out.List[last]
	x.Identity, x.Command, x.Outcome, x.Prefix, x.Reason, x.Count = out.Identity, p.command, outcome, prefix, reason, n
	x.Duration = max(0, end-p.time)
	x.RequestBytes, p.bytes = uint64(p.bytes), 0 // of a run all at once: the rest of it is of the same command
	if outcome <= Error {
		x.ResponseBytes, x.Nils, x.NilElements = uint64(s.shared.weight.bytes), s.shared.weight.nils, s.shared.weight.nilElements
		s.shared.weight = weight{}
	}
	if s.shared.Waits && s.role == event.Client && outcome <= Error {
		s.passWait(n, s.replies.Remain(), x.Duration)
	}
	if s.probation.stage != passed {
		s.probation.paired += n
	}
	if s.shared.SlowFrom > 0 {
		s.passSlow(p, x)
	}
	if last > 0 && out.List[last-1].mergeable(x) {
		out.List[last-1].add(x)
		out.List = out.List[:last]
	}
}

// unpaired reports n commands that will not be paired.
func (s *Session) unpaired(reason Reason, n uint32) {
	if n > 0 {
		out := &s.shared.Out
		out.spill()
		out.List = append(out.List, Exchange{Identity: out.Identity, Outcome: Unpaired, Reason: reason, Count: n})
	}
}
