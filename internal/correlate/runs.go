package correlate

import (
	"strings"

	"github.com/redis-observer/redis-observer/internal/command"
)

// A pipeline is mostly runs: requests for the same command, and replies that tell of nothing but success. Here they are taken many at a
// time. The result is the same as one by one: what is left out is what the first of a run has settled for all of it.

// repeats says for each built-in command whether pairing depends on its name alone, so that requests with an equal beginning are interchangeable.
// Where there are subcommands they are part of the name.
var repeats = func() []bool {
	table := command.Builtin()
	r := make([]bool, table.Count())
	for id := command.Other + 1; int(id) < len(r); id++ {
		r[id] = verbs[id].simple() && id.Traits()&(command.Container|command.BlocksWithOption) == 0 && !strings.Contains(table.Wire(id), "|")
	}
	return r
}()

// takeRepeats takes the requests of a chunk that come next and are like the last one that was taken.
func (c *conn) takeRepeats(time int64) {
	if !c.repeatable {
		return
	}
	n := uint32(c.requests.Repeats())
	if n == 0 {
		return
	}
	p := c.place()
	if p == nil {
		c.overflow(time, n)
		return
	}
	*p = c.like
	p.time = time
	if surplus := c.pending.repeat(n-1, &c.tracker.slots); surplus > 0 {
		c.overflow(time, surplus)
		return
	}
	if c.pending.count == n {
		c.settleSilent()
	}
}

// takeSuccesses ends the commands at the head of the FIFO that are answered by the frames that come next, as long as the frames tell of
// nothing but success and the commands of nothing but themselves. beginFrame has been called for the first frame, and would decide the
// same for each. It reports false if there is no such frame.
func (c *conn) takeSuccesses() bool {
	if !c.awaited || c.tx.running || c.silence != answering || c.sub.any() {
		return false
	}
	outstanding := c.pending.count
	for !c.pending.empty() && c.pending.at(0).simple() {
		oldest := c.pending.at(0)
		n := uint32(c.replies.Successes(int(oldest.count())))
		if n == 0 {
			break
		}
		c.emit(oldest, n, Success, command.OtherPrefix, NoReason, c.replying)
		c.pending.pop(n, &c.tracker.slots)
	}
	if c.pending.count == outstanding {
		return false
	}
	c.heardServer()
	c.killed = false
	if !c.pending.empty() {
		c.settleSilent()
	}
	return true
}

// simple reports whether a reply that tells of success does nothing but end the command.
func (p *pending) simple() bool { return p.verb.simple() && p.flags&noReply == 0 }
