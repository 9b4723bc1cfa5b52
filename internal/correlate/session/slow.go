package session

import "sort"

// Slow is an Exchange that took long, and where it stood. Of its RequestBytes only those are set
// that are known to be its own: of a run that is answered in parts, none are.
type Slow struct {
	Exchange
	Start       int64  // when the request was sent or received, in time of the events
	Position    uint32 // of the first of its commands among those of one call, from 1
	Length      uint32 // how many commands the call carried, as far as they are read
	Transaction bool   // queued by MULTI: Duration is up to the reply of EXEC
}

// call is the socket call that carried the commands that ended last. Those of one call have one
// time.
type call struct {
	time   int64
	ended  uint32 // of its commands
	length uint32 // its commands; 0 until one of them is slow
}

// passSlow counts an exchange among those of its call, and passes it on if it is slow. Commands that
// wait for others by their nature are not.
func (s *Session) passSlow(p *pending, x *Exchange) {
	c := s.call
	if c == nil {
		c = new(call)
		s.call = c
	}
	if c.time != p.time {
		*c = call{time: p.time}
	}
	c.ended += x.Count
	if x.Duration < s.shared.SlowFrom || x.Outcome == Silent || p.flags&blocks != 0 {
		return
	}
	before := c.ended - x.Count
	if c.length == 0 {
		c.length = before + s.outstandingOf(p)
	}
	slow := Slow{Exchange: *x, Start: p.time, Position: before + 1, Length: max(c.length, c.ended), Transaction: s.transaction.running}
	if x.Count != p.count() {
		slow.RequestBytes = 0
	}
	s.places.PassSlow(&slow)
}

// outstandingOf returns how many commands of the call that carried p are outstanding, with p.
func (s *Session) outstandingOf(p *pending) uint32 {
	n, found := uint32(0), false
	for _, f := range []*fifo{&s.transaction.queue, &s.pending} {
		first := sort.Search(int(f.runs), func(i int) bool { return f.at(uint32(i)).time >= p.time })
		for i := uint32(first); i < f.runs && f.at(i).time == p.time; i++ {
			n += f.at(i).count()
			found = found || f.at(i) == p
		}
	}
	if !found { // it was taken off before
		n += p.count()
	}
	return n
}
