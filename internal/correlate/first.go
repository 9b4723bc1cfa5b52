package correlate

import (
	"bytes"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// firstRequest reads a chunk while no request has begun: a proxy may say first for whom it speaks, and the protocol may be another one.
func (c *conn) firstRequest(data []byte, time int64) {
	c.countUnasked()
	again := ""
	if c.fresh {
		var state parser.PrefaceState
		again, data, state = c.preface.Skip(data)
		if state == parser.PrefaceUndecided {
			return
		}
		c.fresh = false
		if state == parser.PrefaceLine {
			c.proxied = time
		}
	}
	switch {
	case again == "" && len(data) == 0:
		return
	case again == "" && parser.LooksLikeTLS(data):
		c.recognise(KindTLS)
		return
	case c.greeted(time) && (again != "" || data[0] != '*'):
		c.recognise(KindNotRedis)
		return
	}
	c.asked = true
	if again != "" {
		c.readRequest([]byte(again), time)
	}
	if len(data) > 0 && c.mode != foreign {
		c.request(data, time)
	}
}

// greeted reports whether the server spoke before a request that was sent at a time: as those of POP3 do, whose greeting is a reply by
// its form. The times tell, whichever event came first.
func (c *conn) greeted(time int64) bool {
	if c.unknown {
		return false
	}
	if b := &c.buffers[event.Reply]; b.Ready() {
		if first := b.First(); len(first.Data) > 0 && isGreeting(first.Data[0]) && first.Time < time {
			return true
		}
	}
	return c.banner != 0 && c.banner < time
}

// A reply before the first request answers a request that is missing, or none at all. The next byte
// of the requests, or the end of the connection, decides; until then such a reply is not counted.

// countUnasked counts the replies before the first request as unsolicited: no request is missing.
func (c *conn) countUnasked() {
	c.tracker.stats.unsolicited.Add(uint64(c.unasked))
	c.unasked = 0
}

// loseUnasked counts the replies before the first request as unpaired: requests are missing.
func (c *conn) loseUnasked() {
	c.unpaired(Missing, c.unasked)
	c.unasked = 0
}

// isGreeting reports whether a frame with this first byte, if it answers nothing, is none that a Redis server sends: before it is asked it
// only refuses to serve.
func isGreeting(kind byte) bool { return kind != '-' && kind != '>' && kind != '\n' }

// firstReply looks at the first frame of the server. It reports false if that has been dealt with.
func (c *conn) firstReply(r *parser.Reply) bool {
	if !c.asked && isGreeting(r.Type) {
		return true // whether it is Redis shows later
	}
	if isGreeting(r.Type) && !c.unknown && !c.spoke && !c.pending.empty() && c.replying < c.pending.at(0).time {
		c.recognise(KindNotRedis) // it was sent before the first request, which is inline
		return false
	}
	c.heardServer()
	line := c.proxied
	c.proxied = 0
	if line == 0 || !c.refusesPreface(r) {
		return true
	}
	c.emit(&pending{time: line, command: command.Other}, 1, Error, command.LookupPrefix(r.Text), NoReason, c.replying)
	return false
}

// refusesPreface reports whether a frame is the complaint of a server that does not know the PROXY protocol, to which its line is a command.
// Some say NOAUTH first; that AUTH itself is never told so shows whom it is for.
func (c *conn) refusesPreface(r *parser.Reply) bool {
	switch {
	case r.Type != '-':
		return false
	case bytes.HasPrefix(r.Text, []byte("NOAUTH ")):
		return !c.pending.empty() && c.pending.at(0).command == command.Auth
	default:
		return bytes.HasPrefix(r.Text, []byte("ERR unknown command")) && bytes.Contains(r.Text, []byte("PROXY"))
	}
}
