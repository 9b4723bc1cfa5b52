package correlate

import "sync/atomic"

// Pool is the number of established connections of a name.
type Pool struct {
	Name             NameID
	Available, InUse int64
}

// use is how a connection counts in its pool.
type use uint8

const (
	notPooled use = iota // not established, or not any more
	available
	inUse
	uses
)

// pool counts the connections of one name. The tracker's goroutine counts; others read what it published last, because
// two atomic additions for each request and reply would cost as much as parsing them.
type pool struct {
	count     [uses]int64
	published [uses]atomic.Int64
}

// pools are the gauges by NameID. The tracker's goroutine replaces the slice to grow it; the scrape reads whichever it finds.
type pools struct {
	// Nil for a name that never had a connection.
	byName atomic.Pointer[[]*pool]
}

func (p *pools) of(name NameID) *pool {
	var byName []*pool
	if old := p.byName.Load(); old != nil {
		byName = *old
	}
	if int(name) < len(byName) && byName[name] != nil {
		return byName[name]
	}
	grown := make([]*pool, max(len(byName), int(name)+1))
	copy(grown, byName)
	grown[name] = new(pool)
	p.byName.Store(&grown)
	return grown[name]
}

// publish lets other goroutines see the gauges.
func (p *pools) publish() {
	byName := p.byName.Load()
	if byName == nil {
		return
	}
	for _, pool := range *byName {
		if pool == nil {
			continue
		}
		for use := range pool.count {
			pool.published[use].Store(pool.count[use])
		}
	}
}

// Pools returns the established connections of every name that ever had one, as of the last Tick. Any goroutine may call it.
func (t *Tracker) Pools() []Pool {
	byName := t.pools.byName.Load()
	if byName == nil {
		return nil
	}
	var all []Pool
	for i, p := range *byName {
		if p != nil {
			all = append(all, Pool{NameID(i), p.published[available].Load(), p.published[inUse].Load()})
		}
	}
	return all
}
