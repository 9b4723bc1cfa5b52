package correlate

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/event"
)

const (
	spareLooks = 32                      // connections that are looked at for places that they do not use, before one has to give what it uses
	spareAfter = int64(10 * time.Second) // how long a connection keeps places that it does not use, in time of the events
)

// slots is the budget of places of all rings. What counts is memory, so a place counts from when a ring has it. Before anyone loses a
// command, places that are not used are taken back.
type slots struct {
	budget
	perRing int        // commands of one ring at most
	rich    heap[conn] // the connections with more than the floor, by when they were looked at
	looks   int64
}

func newSlots(limit, perRing int) slots {
	return slots{
		budget:  newBudget(places, limit, firstSlots),
		perRing: perRing,
		rich:    heap[conn]{place: func(c *conn) *int32 { return &c.richRank }},
	}
}

// add notes that a connection has n places more, or less.
func (s *slots) add(c *conn, n int) {
	s.budget.add(c, n)
	if int(c.has[places]) <= s.floor {
		s.rich.remove(c)
	} else if c.richRank == 0 {
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
	s := &c.tracker.slots
	had := c.has[places]
	c.pending.fit(s)
	c.tx.queue.fit(s)
	return c.has[places] < had
}

// surrender gives all places back for others. What is outstanding is lost.
func (c *conn) surrender() {
	c.lose(Overflow, event.Request, c.tracker.now)
	c.pending.release(&c.tracker.slots)
	c.tx.queue.release(&c.tracker.slots)
	c.settleUse()
}
