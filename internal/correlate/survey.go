package correlate

import (
	"cmp"
	"iter"
	"slices"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Survey is where some connections go to.
type Survey struct {
	Places []Place // those with the most connections, the greatest first
	// The number of the other places, and of their connections.
	OtherPlaces, OtherConnections int
}

// Place is the address of a server, at one end of its connections.
type Place struct {
	Role        event.Role
	Endpoints   event.Endpoints // of one of the connections
	Connections int
	Executables []string // of the observed ends, as far as they are known; ascending, at most MaxExecutables
}

// MaxExecutables is how many executables a Place has at most.
const MaxExecutables = 16

// Survey counts the connections that are chosen by the server's address, and passes the
// result to done: at most a number of places. It is work for the events that follow, as with Rename:
// connections that begin or end meanwhile may be left out. A survey that is not done yet is
// abandoned. It is for the goroutine that calls Track, which calls done too. It returns the exchanges
// of the errands that it advances; the next call reuses the slice.
func (t *Tracker) Survey(most int, chosen func(identity.ID, event.Role, *event.Endpoints) bool, done func(Survey)) []session.Exchange {
	t.shared.Out.List = t.shared.Out.List[:0]
	next, stop := iter.Pull(t.survey(most, chosen, done))
	t.begin(surveying, &errand{stop: stop, step: func() bool {
		_, more := next()
		return more
	}})
	return t.shared.Out.List
}

// survey yields at each connection.
func (t *Tracker) survey(most int, chosen func(identity.ID, event.Role, *event.Endpoints) bool, done func(Survey)) iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		var s Survey
		for _, g := range t.groups {
			var ends [2]Place                   // by role
			for i := 0; i < len(g.conns); i++ { // it may change meanwhile
				if c := g.conns[i]; chosen(c.pool.identity, c.role, &c.endpoints) {
					ends[c.role].count(c)
				}
				if !yield(struct{}{}) {
					return
				}
			}
			s.add(ends[event.Client], most)
			s.add(ends[event.Server], most)
		}
		slices.SortFunc(s.Places, func(a, b Place) int { return cmp.Compare(b.Connections, a.Connections) })
		done(s)
	}
}

// count adds a connection.
func (p *Place) count(c *conn) {
	p.Role, p.Endpoints = c.role, c.endpoints
	p.Connections++
	if c.owner == nil || c.owner.Executable == "" || len(p.Executables) >= MaxExecutables {
		return
	}
	if at, found := slices.BinarySearch(p.Executables, c.owner.Executable); !found {
		p.Executables = slices.Insert(p.Executables, at, c.owner.Executable)
	}
}

// add adds a place, in the stead of the smallest one if there are as many as may be.
func (s *Survey) add(p Place, most int) {
	if p.Connections == 0 {
		return
	}
	if len(s.Places) < most {
		s.Places = append(s.Places, p)
		return
	}
	least := 0
	for i := range s.Places {
		if s.Places[i].Connections < s.Places[least].Connections {
			least = i
		}
	}
	if s.Places[least].Connections < p.Connections {
		s.Places[least], p = p, s.Places[least]
	}
	s.OtherPlaces++
	s.OtherConnections += p.Connections
}
