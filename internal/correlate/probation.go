package correlate

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/event"
)

// A connection that comes into step by silence alone may have been silent for another reason than that nothing was outstanding: CLIENT REPLY
// OFF or SKIP, which passed unseen, or a command that still blocks. What it says is paired all the same, because that is rare, but until the
// proof has held it is on probation:
//
//   - Where no reply comes, the FIFO is never empty again. So a request that finds it so, after a reply, ends that doubt. What tells of the
//     opposite, as long as it is not empty, are some pauses of Options.Quiet before a request (a single one may be that of a busy machine),
//     requests and replies in lockstep over what is always outstanding, or much time.
//   - Where a reply comes that we did not reckon with, it is left over when the FIFO is empty. If none is by the time of a request
//     that comes after Options.Quiet of silence, or after a lockstep of many rounds, there is none.
//
// If the proof was false, what was paired since counts as unpaired too, for the outcomes may be those of others.
type probation struct {
	stage  stage
	since  int64  // when it began
	paired uint32 // commands that have their outcome since
	depth  uint32 // what was outstanding when the last request came,
	rounds int32  // and how many requests in lockstep found the same
	pauses int32  // how many requests came after silence, with something outstanding
}

type stage uint8

const (
	passed  stage = iota // or never was on probation
	replied              // it has shown that it replies: something may be left over
	mute                 // it has not
)

// How many pauses there may be with something outstanding, and how long it may be so, before that is taken for what nobody answers.
const (
	mutePauses  = 3
	longestMute = int64(10 * time.Second)
)

// probe looks whether a request that begins at a time bears out the proof by which the connection came into step.
func (c *conn) probe(time int64) {
	p := &c.probation
	if c.mode != paired || c.doubting || !c.requests.Boundary() {
		return
	}
	heard := max(c.started, c.replying)
	quiet, drained := time-heard >= int64(c.tracker.options.Quiet), c.pending.empty()
	switch {
	case drained && c.replying == 0:
		return // nothing has been asked yet that is answered
	case drained:
		p.stage = replied
	case quiet:
		p.pauses++
	}
	if c.replying < c.started || time < heard || c.pending.count != p.depth {
		p.rounds, p.depth = 0, c.pending.count
	} else {
		p.rounds++
	}
	lockstep := p.rounds >= c.lockstep()
	switch {
	case p.stage == mute && (p.pauses >= mutePauses || lockstep || time-p.since >= longestMute):
		c.disprove()
		c.lose(c.resync.reason, event.Request, heard)
		c.resync.follows = true // what is missing was so before
	case drained && (quiet || lockstep) && c.buffers[event.Reply].Empty():
		*p = probation{}
	}
}

// disprove tells of what was paired on a proof that was false.
func (c *conn) disprove() {
	c.unpaired(c.resync.reason, c.probation.paired)
	c.probation = probation{}
}
