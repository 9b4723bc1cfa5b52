package session

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/event"
)

// A connection that was synced by silence alone may have been silent for another reason than that
// nothing was outstanding: CLIENT REPLY OFF or SKIP, which passed unseen, or a command that still
// blocks. Its commands are paired all the same, because that is rare, but until the proof has held
// it is on probation:
//
//   - Where no reply comes, the FIFO is never empty again. So a request that finds it so, after a
//     reply, ends that doubt. As long as it is not empty, the opposite shows by some pauses of
//     Shared.Quiet before a request (a single one may be that of a busy machine), by requests and
//     replies in lockstep over commands that are always outstanding, or by much time.
//   - Where an unexpected reply comes, it is left over when the FIFO is empty. If none is by the
//     time of a request that comes after Shared.Quiet of silence, or after a lockstep of many
//     rounds, there is none.
//
// If the proof was false, the commands that were paired since count as unpaired too, for their
// outcomes may be those of others.
type probation struct {
	stage  stage
	since  int64  // when it began
	paired uint32 // commands that have their outcome since
	depth  uint32 // commands outstanding when the last request came,
	rounds int32  // and how many requests in lockstep found the same number
	pauses int32  // how many requests came after silence, with something outstanding
}

type stage uint8

const (
	passed  stage = iota // or never was on probation
	replied              // it has shown that it replies: something may be left over
	mute                 // it has not
)

// How many pauses there may be with something outstanding, and how long it may be so, before the
// connection is taken for one that gets no replies.
const (
	mutePauses  = 3
	longestMute = int64(10 * time.Second)
)

// probe checks whether a request that begins at a time bears out the proof by which the connection
// was synced. RepliesHeld is set if replies wait in their reorder buffer.
func (s *Session) probe(time int64, repliesHeld bool) {
	p := &s.probation
	if s.state != Paired || s.doubt.on || !s.requests.Boundary() {
		return
	}
	last := max(s.requestTime, s.replyTime)
	quiet, drained := time-last >= s.shared.Quiet, s.pending.empty()
	switch {
	case drained && s.replyTime == 0:
		return // nothing has been asked yet that is answered
	case drained:
		p.stage = replied
	case quiet:
		p.pauses++
	}
	if s.replyTime < s.requestTime || time < last || s.pending.count != p.depth {
		p.rounds, p.depth = 0, s.pending.count
	} else {
		p.rounds++
	}
	lockstep := p.rounds >= s.lockstepRounds()
	switch {
	case p.stage == mute && (p.pauses >= mutePauses || lockstep || time-p.since >= longestMute):
		s.reportFalseProof()
		s.desync(ProofFailed, event.Request, last)
	case drained && (quiet || lockstep) && !repliesHeld:
		s.end(onProbation)
	}
}

// reportFalseProof reports what was paired on a proof that was false.
func (s *Session) reportFalseProof() {
	s.unpaired(s.resync.reason, s.probation.paired)
	s.end(onProbation)
}
