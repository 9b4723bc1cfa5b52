// Package session pairs the requests of one connection with their replies. A Session takes the
// bytes of both directions in their order, and appends to Shared.Out what it completes. It has no
// notion of offsets, of other connections, or of names.
//
//	kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics
//
// # States
//
// Every change of state is a row of the table in state.go, and goes through Session.to:
//
//	            Init
//	             │
//	             ▼          Opened, BoundaryFound
//	         Desynced ────────────────────────────────────────► Paired ⟲ WasReset
//	           │  ▲  ▲                                           │  │
//	           │  │  └─── GapSeen, Overflowed, CountMismatch, ───┘  │
//	           │  │       MalformedReply, UnsolicitedReply,         │
//	           │  │       ProofFailed                               │
//	   AckSent │  │ Overflowed                         SyncAnswered │
//	           ▼  │                                                 │
//	         Replica ◄──────────────────────────────────────────────┘
//
//	Paired, Desynced, Replica ── Recognised ───────► Foreign
//	any but Ended ────────────── PlaintextFound ───► Desynced
//	any state ────────────────── ConnectionEnded ──► Ended
//
// UnsolicitedReply may find the session Desynced already, by an overflow while the same frame was
// read.
//
// The state decides what happens to bytes:
//
//	           a request is                      a reply
//	Paired     put into the FIFO (request.go)    ends the oldest command (reply.go)
//	Desynced   counted as unpaired (resync.go)   is evidence for a boundary (resync.go)
//	Replica    completed at once (request.go)    is a stream of commands, and ignored
//	Foreign    ignored                           is ignored
//	Ended      ignored                           is ignored
//
// # Modes
//
// The modes are orthogonal to the state. Each belongs to one file; the table says which survive
// what.
//
//	reply mode      CLIENT REPLY ON, SKIP, OFF                        replymode.go
//	transaction     MULTI, queued commands, EXEC, DISCARD             transaction.go
//	subscriptions   SUBSCRIBE and its family, messages, the pushes    pubsub.go
//	                of CLIENT TRACKING; MONITOR
//	RESP version    HELLO                                             reply.go
//	(RESET          ends all of the above                             state.go, WasReset)
//	requests closed QUIT, protocol errors, the server's close         request.go
//	unknown past    part of the history was missed                    state.go
//	doubt           a command without a reply may be refused          doubt.go
//	probation       the proof of a boundary may be false              probation.go
//	opening         PROXY protocol, greetings, TLS; the evidence      opening.go
//	                that it is Redis
//	plaintext       the bytes of a TLS connection                     plaintext.go
//	unreadable      payload that is in no program's memory            unreadable.go
//
// # Files
//
// A request goes through request.go (batch.go for runs of equal ones) and verb.go into fifo.go; its
// reply through reply.go (batch.go); its outcome through exchange.go. gap.go and resync.go deal
// with missing bytes, and close.go with the commands that the end of the connection leaves
// unanswered.
//
// A reply is proof of what the server did. A request is proof only where there can be no reply.
//
// # Bounds
//
// A Session is one struct and two rings, whose memory the tracker grants (Places, which is called
// only where a ring changes its size). No slice of a chunk is kept after the call that reads it. A
// Session belongs to one goroutine. No wire data causes an error or a panic.
package session
