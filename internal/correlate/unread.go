package correlate

import (
	"strings"

	"github.com/redis-observer/redis-observer/internal/event"
)

// manyUnread is how many gaps that follow each other without a byte between them make a direction one that cannot be read.
const manyUnread = 3

// unread is what is known of payload that never stands in the memory of a program: what a relay passes on by splice, a loader sends by
// sendfile, or io_uring receives where only the socket layer is probed. Each call is a gap then, for as long as the connection lives.
type unread struct {
	direction event.Direction // of the latest gaps
	run       uint8           // how many followed each other
	end       uint32          // where the latest ended
	on        bool            // the direction is given up until a byte of it is read
	behind    bool            // it was, but not yet what follows in the other direction
	told      bool            // the connection was counted by its kind
}

// isUnread notes a gap of n bytes that ends where its flow is now. It reports whether the gap has been told of with the connection's kind.
func (c *conn) isUnread(d event.Direction, n uint32, reason event.Reason, time int64) bool {
	u, end := &c.unreadable, c.buffers[d].Next()
	switch {
	case u.on && (reason == event.NotInMemory || reason == 0):
		return true // of the other direction too: nothing can be paired
	case u.behind && reason == 0 && d != u.direction:
		u.behind = false
		return true
	case reason != event.NotInMemory || c.mode == replica:
		return false
	}
	if u.run == 0 || u.direction != d || u.end != end-n {
		u.run = 0
	}
	u.direction, u.run, u.end = d, u.run+1, end
	if u.run < manyUnread && (c.asked || c.spoke || c.resync.trial.on) {
		return false
	}
	u.on = true
	if !u.told {
		u.told = true
		c.tracker.stats.connections[KindSpliced].Add(1)
	}
	if c.mode == paired {
		c.lose(Missing, d, time)
	}
	return true
}

// repliesUnread reports whether what the server says is given up: nothing that is asked can be paired.
func (c *conn) repliesUnread() bool {
	return c.unreadable.on && c.unreadable.direction == event.Reply
}

// readAgain notes that bytes of a direction were read, out of step.
func (c *conn) readAgain(d event.Direction) {
	if c.unreadable.on && c.unreadable.direction == d {
		c.unreadable.on, c.unreadable.behind, c.unreadable.run = false, true, 0
	}
}

// isUrgent recognises a hole of a single byte that is MSG_OOB: it has an offset, and a receive leaves it out. What is received is read
// by one thread at a time, so nothing comes late, and a byte that was missing at this place would be missed in what follows.
func (c *conn) isUrgent(d event.Direction, missing uint32, data []byte) bool {
	if missing != 1 || c.mode != paired || len(data) < 3 || !c.receives(d) || !c.between(d) {
		return false
	}
	urgent := d == event.Request && startsRequest(data) || d == event.Reply && startsReply(data)
	if urgent {
		c.tracker.stats.gap(event.Urgent, missing, true)
	}
	return urgent
}

// mayBeUrgent reports whether n missing bytes may be urgent data, which is no part of the message that it stands in if its receiver did not ask for
// that (SO_OOBINLINE): where they are sent nobody knows, and where they are received nobody tells of it.
func (c *conn) mayBeUrgent(d event.Direction, n uint32, reason event.Reason) bool {
	return reason == event.Urgent || reason == 0 && n == 1 && c.tracker.options.Sockets && c.receives(d)
}

// receives reports whether a direction is that in which the observed end receives.
func (c *conn) receives(d event.Direction) bool {
	return (d == event.Request) == (c.role == event.Server)
}

// between reports whether no message of a direction has been begun.
func (c *conn) between(d event.Direction) bool {
	if d == event.Request {
		return c.requests.Boundary()
	}
	return c.replies.Boundary()
}

// standsApart reports whether an urgent byte that was received with the others is no part of a message: it stands between two, and begins none.
func (c *conn) standsApart(d event.Direction, b byte) bool {
	if d == event.Request {
		return c.between(d) && b != '*'
	}
	return c.between(d) && strings.IndexByte(replyTypes, b) < 0
}

// replyTypes are the first bytes of replies.
const replyTypes = "+-:$*_#,(!=%~>|"

// startsReply reports whether a chunk begins with the type of a reply, and not with the sign of a number whose type is missing.
func startsReply(data []byte) bool {
	return strings.IndexByte(replyTypes, data[0]) >= 0 && (data[0] != '-' || data[1]-'0' > 9)
}
