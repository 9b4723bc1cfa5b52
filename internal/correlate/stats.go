package correlate

import (
	"sync/atomic"

	"github.com/redis-observer/redis-observer/internal/event"
)

// ConnectionKind is what a connection turned out to be.
type ConnectionKind uint8

// The kinds. A replica link begins as Redis and is counted under both.
const (
	KindRedis ConnectionKind = iota
	KindReplica
	KindTLS
	KindNotRedis
	KindSpliced // its payload never stands in the memory of a program that could be read
	KindMPTCP   // the kinds of capture.Stream
	KindKTLS
	KindSockmap
	KindSMC
	KindSCTP
	connectionKinds
)

// kindOf are the kinds of streams that no source can read.
var kindOf = [...]ConnectionKind{
	event.MPTCP:   KindMPTCP,
	event.KTLS:    KindKTLS,
	event.Sockmap: KindSockmap,
	event.SMC:     KindSMC,
	event.SCTP:    KindSCTP,
}

// String returns the kind as a label value.
func (k ConnectionKind) String() string {
	return [connectionKinds]string{
		"redis", "replica", "tls", "not_redis", "spliced", "mptcp", "ktls", "sockmap", "smc", "sctp",
	}[k%connectionKinds]
}

// GapReason says why bytes are missing: a reason of a Gap event, or zero for bytes that no event accounted for.
type GapReason = event.Reason

// gapReasons is the number of gap reasons, zero included.
const gapReasons = int(event.Repeated) + 1

// Gaps counts the gaps of one reason.
type Gaps struct {
	Skipped      uint64 // those inside a value whose content does not matter: nothing was lost by them
	SkippedBytes uint64
	Broken       uint64 // those that put a connection out of step, or kept it so
	BrokenBytes  uint64
}

// Stats are the counters of a Tracker since its construction.
type Stats struct {
	Connections     [connectionKinds]uint64 // by ConnectionKind, when it was recognised
	Gaps            [gapReasons]Gaps        // by GapReason
	Tracked         uint64                  // connections tracked now
	HeldOverflow    uint64                  // chunks that were not held for want of room
	Evicted         uint64                  // connections forgotten to make room
	Unsolicited     uint64                  // replies on connections that never sent a request: max clients, DENIED
	ProtocolErrors  uint64                  // requests at which a server stops listening
	Dropped         uint64                  // commands not counted, because the server can never have run them
	LostConnections uint64                  // connections whose end was not seen
}

type gapCounters struct {
	skipped, skippedBytes, broken, brokenBytes atomic.Uint64
}

type counters struct {
	connections     [connectionKinds]atomic.Uint64
	gaps            [gapReasons]gapCounters
	tracked         atomic.Uint64
	heldOverflow    atomic.Uint64
	evicted         atomic.Uint64
	unsolicited     atomic.Uint64
	protocolErrors  atomic.Uint64
	dropped         atomic.Uint64
	lostConnections atomic.Uint64
}

func (s *counters) gap(reason event.Reason, n uint32, skipped bool) {
	if int(reason) >= gapReasons {
		reason = 0
	}
	g := &s.gaps[reason]
	if skipped {
		g.skipped.Add(1)
		g.skippedBytes.Add(uint64(n))
		return
	}
	g.broken.Add(1)
	g.brokenBytes.Add(uint64(n))
}

// Stats returns the counters. Any goroutine may call it.
func (t *Tracker) Stats() Stats {
	s := Stats{
		Tracked:         t.stats.tracked.Load(),
		HeldOverflow:    t.stats.heldOverflow.Load(),
		Evicted:         t.stats.evicted.Load(),
		Unsolicited:     t.stats.unsolicited.Load(),
		ProtocolErrors:  t.stats.protocolErrors.Load(),
		Dropped:         t.stats.dropped.Load(),
		LostConnections: t.stats.lostConnections.Load(),
	}
	for i := range s.Connections {
		s.Connections[i] = t.stats.connections[i].Load()
	}
	for i := range s.Gaps {
		g := &t.stats.gaps[i]
		s.Gaps[i] = Gaps{g.skipped.Load(), g.skippedBytes.Load(), g.broken.Load(), g.brokenBytes.Load()}
	}
	return s
}
