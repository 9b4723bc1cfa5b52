package correlate

import (
	"github.com/redis-observer/redis-observer/internal/command"
)

// NameID is a logical name, as a small integer that the resolver gave it: dense from 0, never reused while the process lives.
type NameID int32

// Outcome says how a command ended.
type Outcome uint8

// The outcomes of an Exchange. The first four are commands; Unpaired are those that could not be paired.
const (
	Success    Outcome = iota // a reply that is no error
	Error                     // an error reply; Prefix is set
	Silent                    // no reply by design; counted as success, no duration
	Unanswered                // the connection ended first; counted as error, duration up to the end; Reason is set
	Unpaired                  // Count commands or replies that could not be paired; Reason is set, Command is not; not counted as commands
)

// Exchange is what became of one command.
type Exchange struct {
	Name     NameID
	Command  command.ID
	Outcome  Outcome
	Reason   Reason
	Prefix   command.Prefix
	Count    uint32 // 1, but for Unpaired
	Duration int64  // nanoseconds
}

// Reason qualifies Unanswered and Unpaired.
type Reason uint8
