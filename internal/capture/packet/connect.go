package packet

import (
	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Unseen is what packets do not show of the connections that fail or end: redis_connect_failures_total
// and redis_connections_closed_total lack it.
const Unseen = "failed connects that are not refused, and connections that the network ended"

// maxRefused is how many refused connects are remembered, so that they count once where packets are
// seen twice.
const maxRefused = 256

// refusal is a SYN that was refused.
type refusal struct {
	offset uint32
	port   uint16 // of the client
	time   int64
}

// took returns how long it took the client of a conversation to connect, in ns from its first SYN to
// the answer, as seen where packets are captured; 0 where that is not known, or where the conversation
// counts at the server's end.
func (t *conversations) took(c *conversation, o opening) int64 {
	first := t.syns[c.key]
	if c.role != event.Client || first.answered < first.time || first.offset != o.offsets[event.Request] || first.untimed || t.untimed {
		return 0
	}
	return max(first.answered-first.time, 1) // the clock may be coarse
}

// refuse handles a reset by a server that answers a SYN: the client failed to connect. It returns false
// if the reset answers none.
func (t *conversations) refuse(key event.Endpoints, s *frame.Segment, now int64) bool {
	first, found := t.syns[key]
	if !found || first.answered != 0 || s.Flags&frame.ACK == 0 || s.Ack-first.offset > maxEarlyBytes {
		return false
	}
	delete(t.syns, key)
	delete(t.early, key)
	known := &t.refused[first.offset%maxRefused]
	r := refusal{first.offset, key.LocalPort, now}
	copied := known.offset == r.offset && known.port == r.port && now-known.time <= twinWithin && known.time != 0
	*known = r
	if role, _ := t.roleOf(&key); role != event.Client || copied {
		return true
	}
	t.ids++
	e := t.events.push()
	*e = event.Event{Kind: event.ConnectFailed, Failure: event.Refused, Role: event.Client, Conn: t.ids, Time: now, Endpoints: key, Untimed: t.untimed}
	return true
}
