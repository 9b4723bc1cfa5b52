package correlate

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

// subscriptions are the sizes of the sets, as the server's acknowledgements tell them.
type subscriptions struct {
	size    [sets]int32
	arrays  bool // the acknowledgements come as arrays, so messages do as well: in RESP2, and from servers that do so in RESP3
	guessed bool // what looked like a message was seen before any acknowledgement: the sizes are not known
}

func (s *subscriptions) counted() bool {
	return s.size[channels]+s.size[patterns]+s.size[shards] > 0
}

// any reports whether the connection is subscribed.
func (s *subscriptions) any() bool { return s.guessed || s.counted() }

// apply takes the number of an acknowledgement: channels and patterns are counted together, shard channels by themselves.
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

// ackOf returns the set whose size an acknowledgement tells, or noSet if the frame is none.
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

// isMessage reports whether an array is a message: in RESP2 while subscribed, when no other reply can look like it; in RESP3 from a server
// that acknowledged by an array; and wherever the command that is to be answered next is never answered by an array.
func (c *conn) isMessage(r *parser.Reply) bool {
	switch {
	case c.header || !hasMessageShape(r):
		return false
	case c.tx.running:
		// Up to Redis 7.0 one that the transaction publishes to its own connection stands before PUBLISH's reply.
		return c.proto == 2 && c.sub.any() && c.expected().verb == publish
	case c.awaited && c.wantsScalar():
		return true
	case c.proto == 3 && c.sub.arrays && c.sub.counted():
		return true
	default:
		return c.inSubscribedMode()
	}
}

// wantsScalar reports whether the command that is to be answered next is not answered by an array, whatever its arguments.
func (c *conn) wantsScalar() bool {
	p := c.expected()
	if c.tx.open && !c.tx.running && p.verb.queued() {
		return true // by +QUEUED
	}
	return int(p.command) < len(scalars) && scalars[p.command]
}

// inSubscribedMode reports whether an array that looks like one of a RESP2 subscription is one. On a connection of unknown history it is
// if nothing is outstanding, not even a request whose end is missing, or nothing that could be answered like this.
func (c *conn) inSubscribedMode() bool {
	switch {
	case c.proto != 2:
		return false
	case !c.unknown:
		return c.sub.counted()
	case c.awaited:
		return c.expected().verb.inSubscribedMode()
	default:
		return !c.blind && !c.unread()
	}
}

// push takes a RESP3 push: an acknowledgement, or what answers nothing. It reports false if it should wait for its request.
func (c *conn) push(r *parser.Reply, canWait bool) bool {
	if of := ackOf(r); of != noSet {
		return c.acknowledgement(r, of, canWait)
	}
	if c.unknown && !c.sub.any() && hasMessageShape(r) {
		c.sub.guessed = true
	}
	return true
}

// mayAcknowledge reports whether an array that looks like an acknowledgement is one. In EXEC's reply only the elements of the subscribe
// family are: a transaction may subscribe and then run what a subscribed connection may not.
func (c *conn) mayAcknowledge(r *parser.Reply) bool {
	switch {
	case c.header:
		return false
	case c.awaited && c.expected().verb.subscribes():
		return true
	case c.tx.running:
		return false
	case c.sub.arrays && c.sub.counted() && bytes.Equal(r.Text, []byte("sunsubscribe")):
		return true
	default:
		return c.inSubscribedMode() || !c.awaited && c.quietAcks
	}
}

// acknowledgement takes an acknowledgement of a change of subscriptions. It reports false if it should wait for its request.
func (c *conn) acknowledgement(r *parser.Reply, of set, canWait bool) bool {
	if c.doubting && !bytes.Equal(r.Text, []byte("sunsubscribe")) {
		c.believe()
		c.awaited = !c.pending.empty()
	}
	c.sub.arrays = r.Type == '*'
	switch {
	case c.awaited && setOf(c.expected().verb) == of && c.expected().verb.removes() == removes(r):
		c.acknowledge(c.expected(), of, r.Last)
	case !canWait || c.quietAcks || c.unknown || bytes.Equal(r.Text, []byte("sunsubscribe")):
		// A slot moved, or CLIENT REPLY hid what this answers, or it was asked before we looked.
		c.sub.apply(of, r.Last)
	default:
		return false
	}
	return true
}

// removes tells an acknowledgement of leaving from one of joining.
func removes(r *parser.Reply) bool {
	return bytes.Contains(r.Text, []byte("unsub"))
}

// removes reports whether the verb leaves subscriptions.
func (v verb) removes() bool { return v >= unsubscribe && v <= sunsubscribe }

// acknowledge takes one acknowledgement of a command of the subscribe family. The command is done with its last.
func (c *conn) acknowledge(p *pending, of set, count int64) {
	if p.acks == 0 {
		// Without arguments there is one for each member of the set, and one if it is empty. On a connection
		// of unknown history we take the first for the only one; those that follow find their command gone.
		p.acks = max(1, c.sub.size[of])
	}
	c.sub.apply(of, count)
	p.acks--
	if p.acks == 0 {
		c.finish(Success, command.OtherPrefix)
	}
}

// isMonitorLine recognises +1700000000.123456 [0 127.0.0.1:50000] "GET" "key".
func (c *conn) isMonitorLine(r *parser.Reply) bool {
	if !c.monitors && !c.unknown {
		return false
	}
	seconds, rest, ok := bytes.Cut(r.Text, []byte("."))
	if !ok || len(seconds) == 0 || !digits(seconds) || len(rest) < 8 || !digits(rest[:6]) || rest[6] != ' ' || rest[7] != '[' {
		return false
	}
	c.monitors = true
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
