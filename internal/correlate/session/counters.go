package session

import (
	"sync/atomic"

	"github.com/redis-observer/redis-observer/internal/event"
)

// Kind is what a connection turned out to be.
type Kind uint8

// The kinds. A replica link begins as Redis and is counted under both.
const (
	KindRedis Kind = iota
	KindReplica
	KindTLS
	KindNotRedis
	KindSpliced // its payload never stands in the memory of a program that could be read
	KindMPTCP   // the kinds of event.Stream
	KindKTLS
	KindSockmap
	KindSMC
	KindSCTP
	KindSeqpacket
	Kinds // how many there are
)

// kindOf are the kinds of streams that no source can read.
var kindOf = [...]Kind{
	event.MPTCP:     KindMPTCP,
	event.KTLS:      KindKTLS,
	event.Sockmap:   KindSockmap,
	event.SMC:       KindSMC,
	event.SCTP:      KindSCTP,
	event.Seqpacket: KindSeqpacket,
}

// String returns the kind as a label value.
func (k Kind) String() string {
	return [Kinds]string{
		"redis", "replica", "tls", "not_redis", "spliced", "mptcp", "ktls", "sockmap", "smc", "sctp", "seqpacket",
	}[k%Kinds]
}

// GapReasons is the number of reasons of gaps, zero included: bytes that no event accounted for.
const GapReasons = int(event.Repeated) + 1

// GapCounters count the gaps of one reason.
type GapCounters struct {
	Skipped, SkippedBytes atomic.Uint64 // inside a value whose content does not matter
	Broken, BrokenBytes   atomic.Uint64 // those that desynced a session, or kept it so
}

// Counters are what the sessions of one tracker count. Any goroutine may read them.
type Counters struct {
	Connections    [Kinds]atomic.Uint64 // by Kind, when it was recognised
	Gaps           [GapReasons]GapCounters
	Unsolicited    atomic.Uint64 // replies before any request
	ProtocolErrors atomic.Uint64 // malformed requests, after which the server closes
	Unexecuted     atomic.Uint64 // commands not counted, because the server can never have run them
}

// gap counts a gap of n bytes.
func (c *Counters) gap(reason event.Reason, n uint32, elided bool) {
	if int(reason) >= GapReasons {
		reason = 0
	}
	g := &c.Gaps[reason]
	if elided {
		g.Skipped.Add(1)
		g.SkippedBytes.Add(uint64(n))
		return
	}
	g.Broken.Add(1)
	g.BrokenBytes.Add(uint64(n))
}
