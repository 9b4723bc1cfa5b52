package correlate

import (
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Outcome says how a command ended.
type Outcome uint8

// The outcomes of an Exchange. The first four are commands; Unpaired are those that could not be paired.
const (
	Success    Outcome = iota // a reply that is no error
	Error                     // an error reply; Prefix is set
	Silent                    // no reply by design; counted as success, no duration
	Unanswered                // the connection ended first; Reason is set, and says whether that is an error; duration up to the end
	Unpaired                  // Count commands or replies that could not be paired; Reason is set, Command is not; not counted as commands
)

// Exchange is what became of a command, or of several that are alike in everything, as those of a pipeline often are.
type Exchange struct {
	Identity identity.ID
	Command  command.ID
	Outcome  Outcome
	Reason   Reason
	Prefix   command.Prefix
	Count    uint32 // commands
	Duration int64  // of each, in nanoseconds
}

// alike tells whether two exchanges differ in their Count at most.
func (x *Exchange) alike(y *Exchange) bool {
	return x.Duration == y.Duration && x.Command == y.Command && x.Outcome == y.Outcome && x.Identity == y.Identity &&
		x.Prefix == y.Prefix && x.Reason == y.Reason
}

// Reason qualifies Unanswered and Unpaired.
type Reason uint8

// The reasons. Unanswered has the first three; Unpaired has the others, and of the first three those that say that nobody knows whether the
// server ran what waited behind a command that blocks.
const (
	NoReason     Reason = iota
	ServerClosed        // the server closed or reset the connection: an error for the caller that waited
	Network             // neither end closed it: timeouts, or an administrator; an error likewise
	ClientClosed        // the client closed the connection without waiting for the reply: its own decision, no error
	MidStream           // the connection was first seen in mid-stream and is not in step yet
	Missing             // bytes were not captured
	Unsolicited         // a reply that no request was seen for
	Malformed           // a reply that is no RESP, on a connection that spoke it before
	Transaction         // EXEC answered another number of commands than were queued
	Overflow            // more commands outstanding than there is room for
	LostClose           // the end of the connection was not seen
	Evicted             // the connection was forgotten to make room for others
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
