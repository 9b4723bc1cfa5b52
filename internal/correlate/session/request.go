package session

import (
	"math"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// Request reads a chunk of the request stream.
func (s *Session) Request(data []byte, a Arrival) {
	s.receive(event.Request, uint32(len(data)))
	if s.shared.Waits {
		s.shared.read = a
	}
	s.request(data, a)
	s.shared.read.Readable = nil
	if s.state != Paired || s.requestsClosed {
		s.passUnread(event.Request)
	}
}

// request is Request of bytes that are in unread.
func (s *Session) request(data []byte, a Arrival) {
	if s.probation.stage != passed && data != nil {
		s.probe(a.Time, a.How.has(OtherHeld))
	}
	switch {
	case s.state == Desynced:
		s.requestDesynced(data, a)
		return
	case a.Time >= s.requestsEnd:
		s.countUnexecuted(data)
		return
	case s.requestsClosed:
		return
	case !s.evidence.asked:
		s.firstRequest(data, a)
		return
	}
	s.readChunk(data, a.Time)
}

// readChunk reads a chunk of requests; nil after a gap that may have completed one.
func (s *Session) readChunk(data []byte, time int64) {
	if s.requests.Boundary() {
		s.requestTime = time
		if s.pending.count > 0 {
			s.checkStalled(time)
		}
	}
	s.requests.Feed(data)
	s.readRequests(time)
}

// readRequests takes the complete requests of the chunk that was fed.
func (s *Session) readRequests(time int64) {
	var r parser.Request
	for {
		s.takeEqualRequests(time)
		if s.requestsClosed || s.state == Desynced {
			break
		}
		if err := s.requests.Next(&r); err != nil {
			if err == parser.ErrMalformed {
				s.shared.Counters.ProtocolErrors.Add(1)
				s.closeRequests()
			}
			return
		}
		s.take(&r)
		s.requestTime = time
	}
	switch { // the rest of the chunk
	case s.requestsEnd == math.MinInt64:
		s.countUnexecuted(nil)
	case s.state == Desynced && !s.requestsClosed:
		s.countRequests()
	default:
		s.requests.Reset()
	}
}

// closeRequests: the server reads no more requests of this connection, and where those that still
// come begin and end is not known.
func (s *Session) closeRequests() {
	s.requestsClosed, s.requestsEnd = true, math.MaxInt64
	s.requests.Reset()
}

// endRequests: the server reads no more requests of this connection. Those that still come count as
// unexecuted.
func (s *Session) endRequests() {
	s.NoteServerClosed(math.MinInt64)
	s.requestsClosed = true
}

// NoteServerClosed notes that the server closed at a time: it reads no request that was sent later.
func (s *Session) NoteServerClosed(time int64) {
	if !s.requestsClosed {
		s.requestsEnd = time
	}
}

// countUnexecuted reads a chunk of requests that the server does not read; nil for the rest of one.
func (s *Session) countUnexecuted(data []byte) {
	if data != nil {
		s.requests.Feed(data)
	}
	var r parser.Request
	for {
		switch s.requests.Next(&r) {
		case nil:
			s.shared.Counters.Unexecuted.Add(1)
		case parser.ErrMalformed:
			s.closeRequests()
			return
		default:
			return
		}
	}
}

// take puts a request into the FIFO, as the server will execute it.
func (s *Session) take(r *parser.Request) {
	s.evidence.resp = s.evidence.resp || !r.Inline
	s.template.valid = false
	id := s.shared.Commands.Lookup(r.Argv[0], r.Argv[1])
	v := verbOf(id, r)
	if v == forbidden {
		s.closeRequests()
		return
	}
	p := s.place()
	if p == nil {
		s.overflow(s.requestTime, 1)
		return
	}
	*p = pending{time: s.requestTime, command: id, verb: v, bytes: s.measured(event.Request, s.requests.Remain())}
	if id != command.Other {
		p.flags = blocking(id, r)
	}
	if v != ordinary {
		special(p, r)
	}
	if s.state == Replica {
		p.flags |= noReply
	}
	s.template.learn(p)
	if s.shared.Waits && s.role == event.Server {
		s.passWait(1, s.requests.Remain(), math.MaxInt64)
	}
	if s.pending.count == 1 {
		s.completeSuppressed()
	}
}

// place returns the place in the FIFO for one more request, or nil if there is no room.
func (s *Session) place() *pending {
	p := s.pending.push()
	if p == nil && s.doubt.on {
		s.assumeObeyed() // rather than lose commands that most likely are suppressed
		p = s.pending.push()
	}
	return p
}

// overflow: there is no room for n requests that were sent at a time.
func (s *Session) overflow(time int64, n uint32) {
	s.desync(Overflowed, event.Request, time)
	s.unpaired(Overflow, n)
}
