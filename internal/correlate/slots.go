package correlate

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
)

const (
	spareLooks = 32                      // connections that are looked at for places that they do not use, before one has to give what it uses
	spareAfter = int64(10 * time.Second) // how long a connection keeps places that it does not use, in time of the events
)

// slots is the budget of places of all rings. What counts is memory, so a place counts from when a ring has it. Before anyone loses a
// command, places that are not used are taken back.
type slots struct {
	budget
	rich  heap[conn] // the connections with more than the floor, by when they were looked at
	looks int64
}

func newSlots(limit int) slots {
	return slots{
		budget: newBudget(places, limit, session.FirstPlaces),
		rich:   heap[conn]{place: func(c *conn) *int32 { return &c.share.richRank }},
	}
}

// add notes that a connection has n places more, or less.
func (s *slots) add(c *conn, n int) {
	s.budget.add(c, n)
	if int(c.share.has[places]) <= s.floor {
		s.rich.remove(c)
	} else if c.share.richRank == 0 {
		s.look(c)
	}
}

// look puts a connection behind all others.
func (s *slots) look(c *conn) {
	s.looks++
	s.rich.set(c, s.looks)
}

// grant reports whether a connection may have n places more, for which others may have to give theirs.
func (s *slots) grant(c *conn, n int) bool {
	for !s.fits(c, n) {
		if !s.spare(c) && !s.take(c, n) {
			return false
		}
	}
	return true
}

// spare takes places back from a connection that does not use them. It reports false if none was found.
func (s *slots) spare(asks *conn) bool {
	for range spareLooks {
		c, _ := s.rich.first()
		if c == nil {
			return false
		}
		s.look(c)
		if c != asks && c.fitPlaces() {
			return true
		}
	}
	return false
}

// take lets the connection give that has the most. It reports false if that would be the one that asks for n more.
func (s *slots) take(asks *conn, n int) bool {
	c := s.giver(asks, n)
	if c == nil {
		return false
	}
	if !c.fitPlaces() {
		c.surrender()
	}
	return true
}

// relax takes back what one connection has not used for long.
func (s *slots) relax(now int64) {
	c, _ := s.rich.first()
	if c == nil {
		return
	}
	s.look(c)
	if now-c.active > spareAfter {
		c.fitPlaces()
	}
}

// fitPlaces gives back the places that the connection does not use. It reports false if there are none.
func (c *conn) fitPlaces() bool {
	had := c.session.Places()
	c.session.Fit()
	return c.session.Places() < had
}

// surrender gives all places back for others, whose event it is. What is outstanding is lost.
func (c *conn) surrender() {
	out := &c.tracker.shared.Out
	other := out.Identity
	c.speak()
	c.session.Surrender()
	c.settleUse()
	out.Identity = other
}
