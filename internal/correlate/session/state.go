package session

import "math"

// State is what the bytes of the connection mean at present.
type State uint8

// The states. What a session does with a chunk depends on the state first, and then on the modes.
const (
	Paired   State = iota // synced: one reply answers the oldest command
	Desynced              // the number of outstanding commands is not known; nothing is paired (resync.go)
	Replica               // requests have no reply, and the server sends a stream of commands
	Foreign               // encrypted, not Redis, or unreadable: nothing is read any more
	Ended                 // the connection has ended: nothing is read any more
	states
)

// String returns the state's name.
func (s State) String() string {
	return [states + 1]string{"Paired", "Desynced", "Replica", "Foreign", "Ended", "?"}[min(s, states)]
}

// Cause is an event that changes the state, or ends modes of it.
type Cause uint8

// The causes.
const (
	Opened           Cause = iota // the connection is seen from its beginning
	BoundaryFound                 // a request at which nothing can be outstanding
	GapSeen                       // bytes that matter were not captured
	UnsolicitedReply              // a reply that answers no command
	MalformedReply                // a reply that is not RESP
	CountMismatch                 // EXEC answered another number of commands than were queued
	Overflowed                    // there is no place for a command
	ProofFailed                   // the session was synced by a proof that turned out to be false
	SyncAnswered                  // the reply to PSYNC, SYNC or CLUSTER SYNCSLOTS ESTABLISH
	AckSent                       // REPLCONF ACK, which only replicas send
	WasReset                      // RESET was run
	Recognised                    // the connection is of a Kind that is not read
	PlaintextFound                // what is read from now on is the plaintext of a TLS connection (plaintext.go)
	ConnectionEnded               // it was closed, or its last reply was read
	causes
)

// String returns the cause's name.
func (c Cause) String() string {
	return [causes + 1]string{
		"Opened", "BoundaryFound", "GapSeen", "UnsolicitedReply", "MalformedReply", "CountMismatch", "Overflowed", "ProofFailed",
		"SyncAnswered", "AckSent", "WasReset", "Recognised", "PlaintextFound", "ConnectionEnded", "?",
	}[min(c, causes)]
}

// modes are the parts of a session that are orthogonal to its state, as bits.
type modes uint16

const (
	outstanding    modes = 1 << iota // the commands in the FIFO
	inTransaction                    // MULTI (transaction.go)
	replyModeSet                     // CLIENT REPLY (replymode.go)
	subscribed                       // the sets of subscriptions (pubsub.go)
	subscribed2                      // the same, if the connection speaks RESP2
	acksSuppressed                   // CLIENT REPLY suppressed acknowledgements (pubsub.go)
	resp3                            // HELLO 3
	monitoring                       // MONITOR (pubsub.go)
	requestsClosed                   // the server reads no more requests (request.go)
	historyKnown                     // nothing of the connection was missed
	onProbation                      // the proof by which it was synced may be false (probation.go)
	inDoubt                          // whether the oldest command is refused (doubt.go)
	hasTemplate                      // the last request, for those equal to it (batch.go)
	atFirstByte                      // the request stream will be read from its first byte (opening.go)
)

// transition is what a cause does to a session.
type transition struct {
	from   []State
	to     State
	reason Reason // of commands that are outstanding and cannot be paired any more
	ends   modes  // which do not survive; all others do
	known  bool   // from here on nothing of its past is unknown
}

// desync is what does not survive where pairing ends: all that the server may have changed unseen.
const desync = outstanding | inTransaction | replyModeSet | historyKnown | inDoubt | hasTemplate | atFirstByte

// everyCommandMode is what RESET ends: all that commands have set.
const everyCommandMode = inTransaction | replyModeSet | subscribed | acksSuppressed | resp3 | monitoring

// everyMode is all of them.
const everyMode = desync | everyCommandMode | requestsClosed | onProbation

// transitions is the table of all changes of state. A transition that is not in it is a fault of
// this package; the tests of the tracker fail on one (Shared.Trace).
var transitions = [causes]transition{
	Opened:           {from: []State{Desynced}, to: Paired, known: true},
	BoundaryFound:    {from: []State{Desynced}, to: Paired, ends: subscribed2 | onProbation},
	GapSeen:          {from: []State{Paired}, to: Desynced, reason: Gap, ends: desync},
	UnsolicitedReply: {from: []State{Paired, Desynced}, to: Desynced, reason: Unsolicited, ends: desync | requestsClosed | onProbation},
	MalformedReply:   {from: []State{Paired}, to: Desynced, reason: Malformed, ends: desync},
	CountMismatch:    {from: []State{Paired}, to: Desynced, reason: Transaction, ends: desync},
	Overflowed:       {from: []State{Paired, Replica}, to: Desynced, reason: Overflow, ends: desync},
	ProofFailed:      {from: []State{Paired}, to: Desynced, ends: desync | onProbation}, // the reason is that of the false proof
	SyncAnswered:     {from: []State{Paired}, to: Replica, ends: inTransaction | hasTemplate},
	AckSent:          {from: []State{Desynced}, to: Replica, ends: inTransaction | hasTemplate},
	WasReset:         {from: []State{Paired}, to: Paired, ends: everyCommandMode, known: true},
	Recognised:       {from: []State{Paired, Desynced, Replica}, to: Foreign, ends: outstanding | inTransaction | inDoubt},
	PlaintextFound:   {from: []State{Paired, Desynced, Replica, Foreign}, to: Desynced, reason: MidStream, ends: everyMode},
	ConnectionEnded:  {from: []State{Paired, Desynced, Replica, Foreign, Ended}, to: Ended, ends: outstanding | inTransaction | inDoubt},
}

// Listed reports whether the table has a transition.
func Listed(from State, cause Cause) bool {
	for _, state := range transitions[cause].from {
		if state == from {
			return true
		}
	}
	return false
}

// to changes the state as the table says. Nothing else does.
func (s *Session) to(cause Cause) {
	t := &transitions[cause]
	if s.shared.Trace != nil {
		s.shared.Trace(s.state, cause)
	}
	s.end(t.ends)
	s.unknownPast = s.unknownPast && !t.known
	s.state = t.to
}

// end ends modes.
func (s *Session) end(m modes) {
	if m&subscribed2 != 0 && s.resp == 2 {
		m |= subscribed
	}
	if m&outstanding != 0 {
		s.pending.clear()
	}
	if m&inTransaction != 0 {
		s.transaction.end()
	}
	if m&replyModeSet != 0 {
		s.replyMode = answering
	}
	if m&subscribed != 0 {
		s.subscriptions.clear()
	}
	if m&acksSuppressed != 0 {
		s.subscriptions.suppressedAcks = false
	}
	if m&resp3 != 0 {
		s.resp = 2
	}
	if m&monitoring != 0 {
		s.monitors = false
	}
	if m&requestsClosed != 0 {
		s.requestsClosed, s.requestsEnd = false, math.MaxInt64
	}
	if m&historyKnown != 0 {
		s.unknownPast = true
	}
	if m&onProbation != 0 {
		s.probation = probation{}
	}
	if m&inDoubt != 0 {
		s.doubt.on = false
	}
	if m&hasTemplate != 0 {
		s.template.valid = false
	}
	if m&atFirstByte != 0 {
		s.opening.first = false
	}
}
