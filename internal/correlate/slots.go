package correlate

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
)

const (
	spareLooks = 32                      // connections that are searched for unused places, before one has to give up used ones
	spareAfter = int64(10 * time.Second) // how long a connection keeps places that it does not use, in time of the events
)

// slots is the budget of the places of all rings. A place counts as soon as a ring has the memory
// for it. Unused places are taken back before any connection loses a command.
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

// look moves a connection behind all others.
func (s *slots) look(c *conn) {
	s.looks++
	s.rich.set(c, s.looks)
}

// grant reports whether a connection may have n places more. Others may lose theirs for it.
func (s *slots) grant(c *conn, n int) bool {
	for !s.fits(c, n) {
		if !s.spare(c) && !s.take(c, n) {
			return false
		}
	}
	return true
}

// spare takes back unused places from another connection. It reports false if it found none.
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

// take takes the places of the connection that has the most. It reports false if that would be the
// one that asks for n more.
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

// relax takes back the unused places of one connection that has been silent for long.
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

// fitPlaces gives back the unused places of the connection. It reports false if there are none.
func (c *conn) fitPlaces() bool {
	had := c.session.Places()
	c.session.Fit()
	return c.session.Places() < had
}

// surrender gives all places back for others, whose event it is. What is outstanding is lost.
func (c *conn) surrender() {
	out := &c.tracker.shared.Out
	other := out.Identity
	c.stamp()
	c.session.Surrender()
	c.settleUse()
	out.Identity = other
}
