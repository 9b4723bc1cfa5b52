package correlate

import (
	"sync/atomic"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Pool is the number of established connections of an identity, and of the bytes that they carried
// and that belong to no command.
type Pool struct {
	Identity         identity.ID
	Available, InUse int64
	Unassigned       [2]uint64 // by event.Direction
}

// use is how a connection counts in its pool.
type use uint8

const (
	notPooled use = iota // not established, or not any more
	available
	inUse
	uses
)

// pool counts the connections of one identity. The tracker's goroutine counts, and publishes the
// numbers to others from time to time: two atomic additions for each request and reply would cost
// as much as parsing them.
type pool struct {
	identity  identity.ID
	carriers  int // connections that are tracked under the identity, established or not
	count     [uses]int64
	published [uses]atomic.Int64

	unassigned [2]atomic.Uint64 // by event.Direction
}

// pools are the gauges by the slots of identities. The tracker's goroutine replaces the slice to
// change it; the scrape reads whichever it finds.
type pools struct {
	// Nil in slots whose identity never had a connection.
	bySlot atomic.Pointer[[]*pool]
}

// all returns the pools by slot. Nothing in the slice is changed.
func (p *pools) all() []*pool {
	if bySlot := p.bySlot.Load(); bySlot != nil {
		return *bySlot
	}
	return nil
}

// find returns the pool of an identity, nil if it has none.
func (p *pools) find(id identity.ID) *pool {
	bySlot := p.all()
	if slot := id.Slot(); slot < len(bySlot) && bySlot[slot] != nil && bySlot[slot].identity == id {
		return bySlot[slot]
	}
	return nil
}

// of returns the pool of an identity, a new one if it has none.
func (p *pools) of(id identity.ID) *pool {
	if known := p.find(id); known != nil {
		return known
	}
	added := &pool{identity: id}
	p.put(id, added)
	return added
}

// put replaces the pool in the slot of an identity.
func (p *pools) put(id identity.ID, replacement *pool) {
	old := p.all()
	bySlot := make([]*pool, max(len(old), id.Slot()+1))
	copy(bySlot, old)
	bySlot[id.Slot()] = replacement
	p.bySlot.Store(&bySlot)
}

// publish lets other goroutines see the gauges.
func (p *pools) publish() {
	for _, pool := range p.all() {
		if pool == nil {
			continue
		}
		for use := range pool.count {
			pool.published[use].Store(pool.count[use])
		}
	}
}

// Pools returns the established connections of every identity that ever had one, as of the last
// Tick. Any goroutine may call it.
func (t *Tracker) Pools() []Pool {
	var all []Pool
	for _, p := range t.pools.all() {
		if p != nil {
			all = append(all, Pool{
				p.identity, p.published[available].Load(), p.published[inUse].Load(),
				[2]uint64{p.unassigned[event.Request].Load(), p.unassigned[event.Reply].Load()},
			})
		}
	}
	return all
}

// Used reports whether a connection was ever tracked under an identity. It is for the goroutine
// that calls Track.
func (t *Tracker) Used(id identity.ID) bool { return t.pools.find(id) != nil }

// Carried reports whether a connection is tracked under an identity. It is for the goroutine that
// calls Track.
func (t *Tracker) Carried(id identity.ID) bool {
	p := t.pools.find(id)
	return p != nil && p.carriers > 0
}

// End removes the pool of an identity, so that Track returns nothing of it any more. It does
// nothing and returns false while a connection is tracked under it. It is for the goroutine that
// calls Track.
func (t *Tracker) End(id identity.ID) bool {
	p := t.pools.find(id)
	if p == nil {
		return true
	}
	if p.carriers > 0 {
		return false
	}
	t.pools.put(id, nil)
	return true
}
