package session

import (
	"math"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// Each byte that a session reads, or passes over in a gap, is one of a command or one of none. A
// command has those of its request, and those of the frame that ends it. All others are passed to
// Places: pushes, messages, lines of MONITOR, +QUEUED, the header of EXEC's reply, all but the last
// acknowledgement of a subscription, what a desynced connection sends, what is never paired.

// weight is what else than its outcome a frame says of the command that it ends. A command takes it
// all.
type weight struct {
	bytes       uint32
	nils        uint32 // null replies
	nilElements uint32 // null elements of an array
}

// receive counts n bytes that come to be read, or that are missing. One message may have more than
// there is place for: what came before is passed then.
func (s *Session) receive(d event.Direction, n uint32) {
	if s.unread[d] > math.MaxUint32-n {
		s.passUnread(d)
	}
	s.unread[d] += n
}

// measured returns the bytes of a direction that were read since the last call, when so many of
// those that were received remain to be read.
func (s *Session) measured(d event.Direction, remain int) uint32 {
	n := s.unread[d] - uint32(remain)
	s.unread[d] = uint32(remain)
	return n
}

// weigh takes the weight of a frame.
func (s *Session) weigh(r *parser.Reply) {
	s.shared.weight = weight{bytes: s.measured(event.Reply, s.replies.Remain()), nilElements: r.NilElements}
	if r.Null {
		s.shared.weight.nils = 1
	}
}

// unweigh undoes weigh: the frame is to be read again.
func (s *Session) unweigh() {
	s.unread[event.Reply] += s.shared.weight.bytes
	s.shared.weight = weight{}
}

// passWeight passes the weight of a frame that ended no command.
func (s *Session) passWeight() {
	if s.shared.weight.bytes > 0 {
		s.pass(event.Reply, uint64(s.shared.weight.bytes))
	}
	s.shared.weight = weight{}
}

// passUnread passes the bytes of a direction that no command will have.
func (s *Session) passUnread(d event.Direction) {
	if s.unread[d] > 0 {
		s.pass(d, uint64(s.unread[d]))
		s.unread[d] = 0
	}
}

// pass passes n bytes of a direction, unless they are not Redis's.
func (s *Session) pass(d event.Direction, n uint64) {
	if !s.Closed() {
		s.places.Pass(d, n)
	}
}
