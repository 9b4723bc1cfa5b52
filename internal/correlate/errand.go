package correlate

import (
	"iter"
	"maps"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// errand is work on each entry of a map. A few entries are done with each event, so that no event
// has to wait for all of them. The map may change meanwhile: entries that are added may be left
// out.
type errand struct {
	step func() bool // does the next entry; false if there is none
	stop func()
}

func newErrand[K comparable, V any](m map[K]V, do func(K, V)) *errand {
	next, stop := iter.Pull2(maps.All(m))
	return &errand{
		step: func() bool {
			key, value, more := next()
			if more {
				do(key, value)
			}
			return more
		},
		stop: stop,
	}
}

// The errands of a tracker.
const (
	sweeping = iota
	renaming
	relabelling
	reconsidering // those that were not observed
	leaving       // those that are observed, by their owners
	surveying
	errands
)

// How many entries of each errand are done with an event, and with a Tick.
const (
	stepsOfEvent = 64
	stepsOfTick  = 1024
)

// begin starts an errand, or starts it anew.
func (t *Tracker) begin(which int, e *errand) {
	if old := t.errands[which]; old != nil {
		old.stop()
	}
	t.errands[which], t.errant = e, true
	t.run(stepsOfEvent)
}

// run does some entries of each errand.
func (t *Tracker) run(steps int) {
	t.errant = false
	for i := range t.errands {
		e := t.errands[i]
		for n := 0; e != nil && n < steps; n++ {
			if !e.step() {
				t.errands[i], e = nil, nil
			}
		}
		t.errant = t.errant || e != nil
	}
}

// stepsFor returns how many entries are done with an event.
func stepsFor(kind event.Kind) int {
	if kind == event.Tick {
		return stepsOfTick
	}
	return stepsOfEvent
}

// sweep removes the connections that had no event since all that can be listed were: their close
// was lost.
func (t *Tracker) sweep(since int64) {
	t.begin(sweeping, newErrand(t.conns, func(_ uint64, c *conn) {
		if c.missed(since) {
			c.loseEnd()
		}
	}))
}

// Rename resolves the identity of connections again, after Resolve's answers changed: of every
// connection, or only of those for which keeps returns false. No state is lost: connections move between pools, and outstanding commands will count under the new
// identity. Of many connections most are resolved with the events that follow. It returns the
// exchanges of the errands that it advances; the next call reuses the slice.
func (t *Tracker) Rename(keeps func(identity.ID) bool) []session.Exchange {
	t.shared.Out.List = t.shared.Out.List[:0]
	if t.errands[renaming] != nil && t.keeps == nil {
		keeps = nil // the errand that this one replaces was to rename every connection
	}
	t.keeps = keeps
	if t.gate != nil {
		t.gate.ReadmitAll()
	}
	t.since = t.shared.Now
	t.begin(reconsidering, newErrand(t.ignored, t.reconsider))
	t.begin(renaming, newErrand(t.conns, func(_ uint64, c *conn) {
		if t.keeps == nil || !t.keeps(c.pool.identity) {
			t.rename(c)
		}
	}))
	t.pools.publish()
	return t.shared.Out.List
}

// reconsider begins to track a connection that was not observed, if it is now.
func (t *Tracker) reconsider(id uint64, o origin) {
	if _, _, ok := t.resolve(&o); ok {
		delete(t.ignored, id)
		t.readmit(id)          // it may have been turned away once more
		t.since = t.shared.Now // it was not observed
		t.add(id, o).settleUse()
	}
}

// rename resolves the identity of a connection again. It returns false if the connection is not
// observed any more.
func (t *Tracker) rename(c *conn) bool {
	id, decides, ok := t.resolve(&c.origin)
	if !ok {
		t.leaveOut(c, decides)
		return false
	}
	c.move(id)
	return true
}

// leaveOut makes a connection that is tracked one that is not observed.
func (t *Tracker) leaveOut(c *conn, decides event.Trait) {
	t.remove(c)
	t.ignore(c.id, c.origin, decides)
}

// Reconsider leaves out the connections that Options.Ignored refuses by now. It is for what becomes
// known of owners late. As with Rename, most follow with later events, and the result is that of
// errands, which the next call reuses.
func (t *Tracker) Reconsider() []session.Exchange {
	t.shared.Out.List = t.shared.Out.List[:0]
	t.begin(leaving, newErrand(t.conns, func(_ uint64, c *conn) {
		if decides := t.options.Ignored(c.owner); decides != event.NoTrait {
			t.leaveOut(c, decides)
		}
	}))
	t.pools.publish()
	return t.shared.Out.List
}

// move makes a connection count under another identity.
func (c *conn) move(id identity.ID) {
	current := c.use
	c.setUse(notPooled)
	c.pool.carriers--
	c.pool = c.tracker.pools.of(id)
	c.pool.carriers++
	c.setUse(current)
}

// Relabel gives the connections under some identities the one that relabel returns, for the connection's
// own, its end and its owner. It is for labels that become known late; names stay. As with Rename, most
// follow with later events, and the result is that of errands, which the next call reuses.
func (t *Tracker) Relabel(waits func(identity.ID) bool, relabel func(identity.ID, event.Role, *event.Endpoints, *event.Owner) identity.ID) []session.Exchange {
	t.shared.Out.List = t.shared.Out.List[:0]
	t.begin(relabelling, newErrand(t.conns, func(_ uint64, c *conn) {
		if own := c.pool.identity; waits(own) {
			if id := relabel(own, c.role, &c.endpoints, c.owner); id != own {
				c.move(id)
			}
		}
	}))
	t.pools.publish()
	return t.shared.Out.List
}
