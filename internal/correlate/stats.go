package correlate

import (
	"sync/atomic"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Gaps are the counters of the gaps of one reason.
type Gaps struct {
	Skipped      uint64 // those inside a value whose content does not matter: nothing was lost by them
	SkippedBytes uint64
	Broken       uint64 // those that desynced a connection, or kept it so
	BrokenBytes  uint64
}

// Stats are the counters of a Tracker since its construction.
type Stats struct {
	Connections     [session.Kinds]uint64    // by session.Kind, when it was recognised
	Gaps            [session.GapReasons]Gaps // by event.Reason, or zero for bytes that no event accounted for
	Tracked         uint64                   // connections tracked now
	HeldOverflow    uint64                   // segments that were not held for want of room
	Evicted         uint64                   // connections removed to make room
	Unsolicited     uint64                   // replies on connections that never sent a request: max clients, DENIED
	ProtocolErrors  uint64                   // malformed requests, after which the server closes
	Unexecuted      uint64                   // commands not counted, because the server can never have run them
	LostConnections uint64                   // connections whose end was not seen
	Ignored         map[event.Trait]uint64   // connections left out for their owners, by what decided; nil if none are
}

// counters are those of the tracker alone; session.Counters are the others.
type counters struct {
	tracked         atomic.Uint64
	heldOverflow    atomic.Uint64
	evicted         atomic.Uint64
	lostConnections atomic.Uint64
	ignored         [event.Traits]atomic.Uint64 // by NoTrait those whose owner does not matter
}

// Encrypted reports whether a TLS connection was seen. Any goroutine may call it.
func (t *Tracker) Encrypted() bool { return t.shared.Counters.Connections[session.KindTLS].Load() > 0 }

// Stats returns the counters. Any goroutine may call it.
func (t *Tracker) Stats() Stats {
	c := &t.shared.Counters
	s := Stats{
		Tracked:         t.stats.tracked.Load(),
		HeldOverflow:    t.stats.heldOverflow.Load(),
		Evicted:         t.stats.evicted.Load(),
		Unsolicited:     c.Unsolicited.Load(),
		ProtocolErrors:  c.ProtocolErrors.Load(),
		Unexecuted:      c.Unexecuted.Load(),
		LostConnections: t.stats.lostConnections.Load(),
	}
	for i := range s.Connections {
		s.Connections[i] = c.Connections[i].Load()
	}
	if t.options.Ignored != nil {
		s.Ignored = map[event.Trait]uint64{}
		for trait := event.Process; trait < event.Traits; trait++ {
			s.Ignored[trait] = t.stats.ignored[trait].Load()
		}
	}
	for i := range s.Gaps {
		g := &c.Gaps[i]
		s.Gaps[i] = Gaps{g.Skipped.Load(), g.SkippedBytes.Load(), g.Broken.Load(), g.BrokenBytes.Load()}
	}
	return s
}
