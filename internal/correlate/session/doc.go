// Package session pairs the requests of one connection with their replies. It is given the bytes of both directions in their order, and
// knows nothing of offsets, of other connections, or of names.
//
//	kernel → event.Source → parser.Stream → correlate.Tracker → metrics.Recorder → /metrics
//
// The commands that await a reply stand in a FIFO. Frames that answer no request (pushes, messages, lines of MONITOR) are recognised
// before the FIFO is looked at. A reply that we saw is proof of what the server did; a request is only where no reply can be.
//
// The states. Every change of state is a row of the table in state.go, and goes through Session.to:
//
//	                 Opened                                    SyncAnswered
//	    ┌────────────────────────────► Paired ─────────────────────────────────┐
//	    │  BoundaryFound              ▲  │  │  WasReset: ends the modes         │
//	    │  (nothing outstanding,      └──│──┘                                   ▼
//	    │   resync.go)                   │                                   Replica
//	    │                                │ GapSeen, Overflowed,                 ▲ │
//	Desynced ◄───────────────────────────┘ MalformedReply, UnsolicitedReply,    │ │
//	 ▲  │    ▲                             CountMismatch, ProofFailed           │ │
//	 │  │    └──────────────────────────── Overflowed ──────────────────────────│─┘
//	 │  └───────────────────────────────── AckSent ─────────────────────────────┘
//	 Init
//
//	Paired, Desynced, Replica ── Recognised ──────► Foreign
//	every state               ── ConnectionEnded ─► Ended
//
// The modes are orthogonal to the state; each is a type, or a field, with the file that owns it. The table says which survive what:
//
//	reply mode     CLIENT REPLY ON, SKIP, OFF                   replymode.go
//	transaction    MULTI, EXEC, DISCARD                         transaction.go
//	subscriptions  SUBSCRIBE and its family; MONITOR            pubsub.go
//	resp           HELLO: version 2 or 3                        reply.go
//	RESET          ends all of these                            state.go, WasReset
//	doubt          a command without a reply may be refused     doubt.go
//	probation      the proof of a boundary may be false         probation.go
//	opening        PROXY protocol, greetings, TLS               opening.go
//	unreadable     payload in no program's memory               unreadable.go
//
// An event's way: request.go (batch.go where requests are equal) puts a request into fifo.go; reply.go (batch.go) takes the reply;
// exchange.go reports the outcome; gap.go and resync.go take what is missing; close.go reports what the end left unanswered.
//
// Memory: a Session is one struct and two rings of Places, which the tracker grants. No slice of a chunk is kept after the call that
// reads it. Nothing is called back but Places, where a ring changes its size. A Session belongs to one goroutine. No wire data causes an error or a panic.
package session
