package correlate

import (
	"bytes"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// request reads a chunk of the request stream; nil after a gap that may have completed a request.
func (c *conn) request(data []byte, time int64) {
	if c.probation.stage != passed && data != nil {
		c.probe(time)
	}
	switch {
	case c.mode == lost:
		c.lostRequest(data, time)
		return
	case c.deaf:
		return
	case !c.asked:
		c.firstRequest(data, time)
		return
	}
	c.readRequest(data, time)
}

// readRequest reads a chunk of requests.
func (c *conn) readRequest(data []byte, time int64) {
	if c.requests.Boundary() {
		c.started = time
		if c.pending.count > 0 {
			c.suspect(time)
		}
	}
	c.requests.Feed(data)
	c.readRequests(time)
}

// readRequests takes the complete requests of the chunk that was fed.
func (c *conn) readRequests(time int64) {
	var r parser.Request
	for {
		c.takeRepeats(time)
		if c.deaf || c.mode == lost {
			break
		}
		if err := c.requests.Next(&r); err != nil {
			if err == parser.ErrMalformed {
				c.tracker.stats.protocolErrors.Add(1)
				c.deafen()
			}
			return
		}
		c.take(&r)
		c.started = time
	}
	if c.mode == lost && !c.deaf {
		c.countRequests() // what is left of the chunk
		return
	}
	c.requests.Reset()
}

// deafen: the server will read nothing more of this connection, and nothing more of it counts.
func (c *conn) deafen() {
	c.deaf = true
	c.requests.Reset()
}

// take puts a request into the FIFO, as the server will execute it.
func (c *conn) take(r *parser.Request) {
	c.spoke = c.spoke || !r.Inline
	c.repeatable = false
	id := c.tracker.options.Commands.Lookup(r.Argv[0], r.Argv[1])
	v := verbOf(id, r)
	if v == forbidden {
		c.deafen()
		return
	}
	p := c.await(c.started)
	if p == nil {
		return
	}
	*p = pending{time: c.started, command: id, verb: v}
	if id != command.Other {
		p.flags = blocking(id, r)
	}
	if v != ordinary {
		special(p, r)
	}
	if c.mode == replica {
		p.flags |= noReply
	}
	c.like, c.repeatable = *p, int(id) < len(repeats) && repeats[id]
	if c.pending.count == 1 {
		c.settleSilent()
	}
}

// await returns the place in the FIFO for a request that was sent at a time, or nil if there is no room: the connection is out of step then.
func (c *conn) await(time int64) *pending {
	p := c.place()
	if p == nil {
		c.overflow(time, 1)
	}
	return p
}

// place returns the place in the FIFO for one more request, or nil if there is no room.
func (c *conn) place() *pending {
	p := c.pending.push(&c.tracker.slots)
	if p == nil && c.doubting {
		c.believe() // rather than lose what most likely is silent
		p = c.pending.push(&c.tracker.slots)
	}
	return p
}

// overflow: there is no room for n requests that were sent at a time.
func (c *conn) overflow(time int64, n uint32) {
	c.lose(Overflow, event.Request, time)
	c.unpaired(Overflow, n)
}

// blocking tells whether the reply of a command may wait for other clients.
func blocking(id command.ID, r *parser.Request) pendingFlags {
	traits := id.Traits()
	if traits&command.Blocks != 0 || traits&command.BlocksWithOption != 0 && r.Block {
		return blocks
	}
	return 0
}

// special notes what a request tells of its own reply.
func special(p *pending, r *parser.Request) {
	switch p.verb {
	case exec:
		if r.Args != 1 {
			p.flags |= odd
		}
	case replconf:
		if r.Args%2 == 1 && (bytes.EqualFold(r.Argv[1], []byte("ack")) || bytes.EqualFold(r.Argv[1], []byte("getack"))) {
			p.flags |= noReply
		}
	case subscribe, psubscribe, ssubscribe, unsubscribe, punsubscribe, sunsubscribe:
		p.acks = int32(r.Args - 1)
	}
}
