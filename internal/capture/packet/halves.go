package packet

import (
	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// On loopback, an address translation shows a connection in halves: its requests behind the
// translation, under the backend's address, and its replies before it, under that of the Service. The
// client's port can differ too: the kernel gives a connection another one where the translation would
// make it equal to an earlier one. What tells that the halves are one is that each has exactly the
// offsets that the other one acknowledges, in both directions.

const (
	halvesBits = 10
	maxHalves  = 1 << halvesBits // segments whose answer may come under another address
)

// half is a segment with payload of a conversation of which only its direction was seen.
type half struct {
	of        *conversation
	direction event.Direction
	seq, ack  uint32 // of a segment that answers it
	time      int64
}

// noteAnswer notes the answer to a SYN that was not seen under the same address.
func (t *conversations) noteAnswer(key *event.Endpoints, o opening) {
	if first, found := t.syns[*key]; found && first.offset == o.offsets[event.Request] {
		return
	}
	if len(t.answers) >= maxOpenings {
		clear(t.answers) // their halves are found by their payload
	}
	t.answers[o] = *key
}

// openHalves opens the conversation of which the handshake has the client's SYN under one address and
// its answer under another.
func (t *conversations) openHalves(requests, replies event.Endpoints, o opening, now int64) *conversation {
	shown, other := replies, requests
	if t.showsRequests(&requests, &replies) {
		shown, other = requests, replies
	}
	if e, found := t.early[requests]; found {
		delete(t.early, requests)
		t.early[shown] = e
	}
	for _, key := range [...]event.Endpoints{requests, replies} {
		delete(t.syns, key)
		delete(t.opening, key)
		if earlier := t.table[key]; earlier != nil {
			t.discard(earlier, now)
		}
	}
	x := t.open(nil, shown, o, now)
	x.seen[event.Reply] = true // its SYN
	c := t.add(other, now)
	c.start, c.opened, c.closed = o, true, true // so that a repeated handshake is nothing new
	t.attach(c, x, now)
	return x
}

// complete looks for the conversation that has the other direction of one, by a segment with payload
// that answers one of its segments. It returns the conversation that the segment is to be delivered to.
func (t *conversations) complete(c *conversation, d event.Direction, s *frame.Segment, now int64) *conversation {
	k := *t.halfAt(s.Seq, s.Ack)
	answers := k.of != nil && k.of != c && k.direction != d && k.seq == s.Seq && k.ack == s.Ack && now-k.time <= twinWithin
	if answers && k.of.key.Local == c.key.Local && k.of.isHalf(1-d) && c.isHalf(d) {
		return t.join(c, k.of, d, now)
	}
	answered := s.Seq + uint32(len(s.Payload)) + s.Missing
	*t.halfAt(s.Ack, answered) = half{c, d, s.Ack, answered, now}
	return c
}

// isHalf reports whether a conversation can be one half of another: nothing of the other direction was seen.
func (c *conversation) isHalf(d event.Direction) bool {
	return !c.seen[1-d] && !c.gone && !c.closed && !c.foreign && c.twin == nil && len(c.copies) == 0
}

func (t *conversations) halfAt(seq, ack uint32) *half {
	return &t.halves[(uint64(seq)<<32|uint64(ack))*golden>>(64-halvesBits)]
}

// join makes one conversation of two, of which c has the segments of direction d and x the others. It
// returns that.
func (t *conversations) join(c, x *conversation, d event.Direction, now int64) *conversation {
	requests, replies := c, x
	if d == event.Reply {
		requests, replies = x, c
	}
	c, x, d = requests, replies, event.Request
	if t.showsRequests(&requests.key, &replies.key) {
		c, x, d = replies, requests, event.Reply
	}
	if !c.streams[d].assumed && c.streams[d].known {
		x.streams[d] = c.streams[d]
	}
	x.active, x.seen[d], x.oneSided = now, true, false
	if c.waits != nil {
		if x.waits == nil {
			x.waits = new(waits)
			t.watch(x)
		}
		x.waits.queues[d] = c.waits.queues[d]
		x.waits.bytes += c.waits.bytes
		c.waits = nil
	}
	t.stopAwaiting(x)
	t.attach(c, x, now)
	return x
}

// showsRequests reports whether a connection counts under the address of its requests, and not under
// that of its replies, which is the one that the client connected to.
func (t *conversations) showsRequests(requests, replies *event.Endpoints) bool {
	return t.isNamed(requests) && !t.isNamed(replies)
}

// isNamed reports whether either end has a name of its own.
func (t *conversations) isNamed(key *event.Endpoints) bool {
	swapped := swap(key)
	return t.hasName != nil && (t.hasName(event.Client, key) || t.hasName(event.Server, &swapped))
}
