package session

import (
	"math"
	"strings"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
)

// A pipeline is mostly runs: requests for the same command, and replies that say nothing but
// success. Here they are taken many at a time. The result is the same as one by one: the steps left
// out are those that the first of a run has settled for all of it.

// batchable[id] is set if pairing depends on the command's name alone, so that requests with an
// equal prefix are interchangeable. Where there are subcommands they are part of the name.
var batchable = func() []bool {
	table := command.Builtin()
	b := make([]bool, table.Count())
	for id := command.Other + 1; int(id) < len(b); id++ {
		b[id] = verbs[id].simple() && id.Traits()&(command.Container|command.BlocksWithOption) == 0 && !strings.Contains(table.Wire(id), "|")
	}
	return b
}()

// template is the last request, if it is batchable.
type template struct {
	pending pending
	valid   bool
}

// learn makes a request the template for those equal to it.
func (t *template) learn(p *pending) {
	t.pending, t.valid = *p, int(p.command) < len(batchable) && batchable[p.command]
}

// takeEqualRequests takes the requests of a chunk that come next and are equal to the last one that
// was taken.
func (s *Session) takeEqualRequests(time int64) {
	if !s.template.valid || s.shared.read.Readable.Several() {
		return
	}
	n := uint32(s.requests.Repeats())
	if n == 0 {
		return
	}
	p := s.place()
	if p == nil {
		s.overflow(time, n)
		return
	}
	*p = s.template.pending
	p.time, p.bytes = time, s.measured(event.Request, s.requests.Remain())
	if s.shared.Waits && s.role == event.Server {
		s.passWait(n, s.requests.Remain(), math.MaxInt64)
	}
	if n > 1 {
		if surplus := s.pending.repeat(n - 1); surplus > 0 {
			s.overflow(time, surplus)
			return
		}
	}
	if s.pending.count == n {
		s.completeSuppressed()
	}
}

// takeSuccesses ends the commands at the head of the FIFO that are answered by the frames that come
// next, as long as the frames say nothing but success and the commands do nothing to the session.
// beginFrame has been called for the first frame, and would decide the same for each. It reports
// false if there is no such frame.
func (s *Session) takeSuccesses(f *frame) bool {
	if !f.awaited || s.transaction.running || s.replyMode != answering || s.subscriptions.any() || s.shared.read.Readable.Several() {
		return false
	}
	before := s.pending.count
	for !s.pending.empty() && s.pending.at(0).simple() {
		oldest := s.pending.at(0)
		n, nils := s.replies.Successes(int(oldest.count()))
		if n == 0 {
			break
		}
		s.shared.weight = weight{bytes: s.measured(event.Reply, s.replies.Remain()), nils: uint32(nils)}
		s.emit(oldest, uint32(n), Success, command.OtherPrefix, NoReason, s.replyTime)
		s.pending.pop(uint32(n))
	}
	if s.pending.count == before {
		return false
	}
	s.noteAnswer()
	s.killedSelf = false
	if !s.pending.empty() {
		s.completeSuppressed()
	}
	return true
}
