package session

import (
	"bytes"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// set is one of the sets of subscriptions of a connection.
type set uint8

const (
	noSet set = iota
	channels
	patterns
	shards
	sets
)

// mostSubscriptions is more than any server lets a connection have.
const mostSubscriptions = 1 << 29

// subscriptions are the sizes of the sets, as of the server's last acknowledgements.
type subscriptions struct {
	size    [sets]int32
	arrays  bool // the acknowledgements come as arrays, so messages do as well: in RESP2, and from servers that do so in RESP3
	guessed bool // a frame that looked like a message was seen before any acknowledgement: the sizes are not known

	suppressedAcks bool // acknowledgements were suppressed by CLIENT REPLY: some servers send them all the same
}

func (s *subscriptions) counted() bool {
	return s.size[channels]+s.size[patterns]+s.size[shards] > 0
}

// any reports whether the connection is subscribed.
func (s *subscriptions) any() bool { return s.guessed || s.counted() }

// guess notes a frame that looked like a message.
func (s *subscriptions) guess() { s.guessed = s.guessed || !s.counted() }

// clear empties the sets.
func (s *subscriptions) clear() {
	*s = subscriptions{suppressedAcks: s.suppressedAcks}
}

// apply takes the number of an acknowledgement: channels and patterns are counted together, shard
// channels by themselves.
func (s *subscriptions) apply(of set, count int64) {
	switch of {
	case channels:
		count -= int64(s.size[patterns])
	case patterns:
		count -= int64(s.size[channels])
	}
	s.size[of] = int32(max(0, min(count, mostSubscriptions)))
	if count <= 0 {
		s.guessed = false
	}
}

// setOf returns the set that a verb of the subscribe family changes.
func setOf(v verb) set {
	switch v {
	case subscribe, unsubscribe:
		return channels
	case psubscribe, punsubscribe:
		return patterns
	case ssubscribe, sunsubscribe:
		return shards
	default:
		return noSet
	}
}

// ackOf returns the set whose size an acknowledgement gives, or noSet if the frame is none.
func ackOf(r *parser.Reply) set {
	if r.Len != 3 || r.Type != '*' && r.Type != '>' {
		return noSet
	}
	kind := r.Text
	switch {
	case len(kind) == 0:
	case bytes.HasSuffix(kind, []byte("subscribe")):
		switch string(kind) { // no allocation: the compiler sees that it is only compared
		case "subscribe", "unsubscribe":
			return channels
		case "psubscribe", "punsubscribe":
			return patterns
		case "ssubscribe", "sunsubscribe":
			return shards
		}
	}
	return noSet
}

// hasMessageShape reports whether a frame looks like a message of a subscription.
func hasMessageShape(r *parser.Reply) bool {
	switch r.Len {
	case 3:
		return bytes.Equal(r.Text, []byte("message")) || bytes.Equal(r.Text, []byte("smessage"))
	case 4:
		return bytes.Equal(r.Text, []byte("pmessage"))
	default:
		return false
	}
}

// isMessage reports whether an array is a message: in RESP2 while subscribed, when no other reply
// can look like it; in RESP3 from a server that acknowledged by an array; and wherever the command
// that is to be answered next is never answered by an array.
func (s *Session) isMessage(f *frame, r *parser.Reply) bool {
	switch {
	case f.header || !hasMessageShape(r):
		return false
	case s.transaction.running:
		// Up to Redis 7.0 one that the transaction publishes to its own connection stands before
		// PUBLISH's reply.
		return s.resp == 2 && s.subscriptions.any() && s.expected().verb == publish
	case f.awaited && s.wantsScalar():
		return true
	case s.resp == 3 && s.subscriptions.arrays && s.subscriptions.counted():
		return true
	default:
		return s.inSubscribedMode(f)
	}
}

// wantsScalar reports whether the command that is to be answered next is not answered by an array,
// whatever its arguments.
func (s *Session) wantsScalar() bool {
	p := s.expected()
	if s.transaction.open && !s.transaction.running && p.verb.queued() {
		return true // by +QUEUED
	}
	return int(p.command) < len(scalars) && scalars[p.command]
}

// inSubscribedMode reports whether an array that looks like one of a RESP2 subscription is one.
// With an unknown past it is if nothing is outstanding, not even a request whose end is missing, or
// nothing that could be answered like this.
func (s *Session) inSubscribedMode(f *frame) bool {
	switch {
	case s.resp != 2:
		return false
	case !s.unknownPast:
		return s.subscriptions.counted()
	case f.awaited:
		return s.expected().verb.inSubscribedMode()
	default:
		return !f.blind && !s.requestUnfinished(f)
	}
}

// push takes a RESP3 push: an acknowledgement, or a frame that answers nothing. It reports false if
// it should wait for its request.
func (s *Session) push(f *frame, r *parser.Reply, canWait bool) bool {
	if of := ackOf(r); of != noSet {
		return s.acknowledgement(f, r, of, canWait)
	}
	if s.unknownPast && !s.subscriptions.any() && hasMessageShape(r) {
		s.subscriptions.guessed = true
	}
	return true
}

// mayAcknowledge reports whether an array that looks like an acknowledgement is one. In EXEC's
// reply only the elements of the subscribe family are: a transaction may subscribe and then run
// commands that a subscribed connection may not.
func (s *Session) mayAcknowledge(f *frame, r *parser.Reply) bool {
	switch {
	case f.header:
		return false
	case f.awaited && s.expected().verb.subscribes():
		return true
	case s.transaction.running:
		return false
	case s.subscriptions.arrays && s.subscriptions.counted() && bytes.Equal(r.Text, []byte("sunsubscribe")):
		return true
	default:
		return s.inSubscribedMode(f) || !f.awaited && s.subscriptions.suppressedAcks
	}
}

// acknowledgement takes an acknowledgement of a change of subscriptions. It reports false if it
// should wait for its request.
func (s *Session) acknowledgement(f *frame, r *parser.Reply, of set, canWait bool) bool {
	if s.doubt.on && !bytes.Equal(r.Text, []byte("sunsubscribe")) {
		s.assumeObeyed()
		f.awaited = !s.pending.empty()
	}
	s.subscriptions.arrays = r.Type == '*'
	switch {
	case f.awaited && setOf(s.expected().verb) == of && s.expected().verb.removes() == removes(r):
		s.acknowledge(s.expected(), of, r.Last)
	case !canWait || s.subscriptions.suppressedAcks || s.unknownPast || bytes.Equal(r.Text, []byte("sunsubscribe")):
		// A slot moved, or CLIENT REPLY hid the command that this answers, or it was sent before we
		// looked.
		s.subscriptions.apply(of, r.Last)
	default:
		return false
	}
	return true
}

// removes reports whether an acknowledgement is of the end of a subscription.
func removes(r *parser.Reply) bool {
	return bytes.Contains(r.Text, []byte("unsub"))
}

// acknowledge takes one acknowledgement of a command of the subscribe family. The command ends with
// its last.
func (s *Session) acknowledge(p *pending, of set, count int64) {
	if p.acks == 0 {
		// Without arguments there is one for each member of the set, and one if it is empty. With
		// an unknown past we take the first for the only one; those that follow find their command
		// gone.
		p.acks = max(1, s.subscriptions.size[of])
	}
	s.subscriptions.apply(of, count)
	p.acks--
	if p.acks == 0 {
		s.finish(Success, command.OtherPrefix)
	}
}

// isMonitorLine recognises +1700000000.123456 [0 127.0.0.1:50000] "GET" "key".
func (s *Session) isMonitorLine(r *parser.Reply) bool {
	if !s.monitors && !s.unknownPast {
		return false
	}
	seconds, rest, ok := bytes.Cut(r.Text, []byte("."))
	if !ok || len(seconds) == 0 || !digits(seconds) || len(rest) < 8 || !digits(rest[:6]) || rest[6] != ' ' || rest[7] != '[' {
		return false
	}
	s.monitors = true
	return true
}

func digits(b []byte) bool {
	for _, c := range b {
		if c-'0' > 9 {
			return false
		}
	}
	return true
}
