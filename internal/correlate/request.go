package correlate

import (
	"bytes"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// request reads a chunk of the request stream; nil after a gap that may have completed a request.
func (c *conn) request(data []byte, time int64) {
	switch {
	case c.mode == lost:
		c.lostRequest(data, time)
		return
	case c.deaf:
		return
	case !c.asked && parser.LooksLikeTLS(data):
		c.recognise(KindTLS)
		return
	}
	c.asked = true
	if c.requests.Boundary() {
		c.started = time
	}
	c.requests.Feed(data)
	c.readRequests(time)
}

// readRequests takes the complete requests of the chunk that was fed.
func (c *conn) readRequests(time int64) {
	var r parser.Request
	for !c.deaf && c.mode != lost {
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
	id := c.tracker.options.Commands.Lookup(r.Argv[0], r.Argv[1])
	p := pending{time: c.started, command: id, verb: verbOf(id, r)}
	if id != command.Other {
		p.flags = blocking(id, r)
	}
	if p.verb != ordinary || c.silence != answering {
		if p.verb == forbidden {
			c.deafen()
			return
		}
		c.special(&p, r)
	}
	if c.mode == replica {
		p.flags |= noReply
	}
	if !c.pending.push(p, &c.tracker.slots) {
		c.lose(Overflow, capture.Request)
		c.unpaired(Overflow, 1)
		return
	}
	c.settleSilent()
}

// blocking tells whether the reply of a command may wait for other clients.
func blocking(id command.ID, r *parser.Request) pendingFlags {
	traits := id.Traits()
	if traits&command.Blocks != 0 || traits&command.BlocksWithOption != 0 && r.Block {
		return blocks
	}
	return 0
}

// special looks after the requests that change what the following ones get.
func (c *conn) special(p *pending, r *parser.Request) {
	switch p.verb {
	case multi:
		c.multi = true
	case exec:
		c.multi = false
		if r.Args != 1 {
			p.flags |= odd
		}
	case discard:
		c.multi = false
	case reset:
		// RESET is answered whatever the client asked for before.
		c.multi, c.silence = false, answering
	case replconf:
		if bytes.EqualFold(r.Argv[1], []byte("ack")) || bytes.EqualFold(r.Argv[1], []byte("getack")) {
			p.flags |= noReply
		}
	case quit:
		defer c.deafen()
	case subscribe, psubscribe, ssubscribe, unsubscribe, punsubscribe, sunsubscribe:
		p.acks = int32(r.Args - 1)
	}
	c.mute(p)
}

// mute notes whether CLIENT REPLY silences a request. Inside MULTI it does so when EXEC runs it, see transaction.go.
func (c *conn) mute(p *pending) {
	switch {
	case p.verb == replyOn && !c.multi:
		c.silence = answering
	case p.verb == replyOff && !c.multi:
		c.silence = silenced
		p.flags |= muted
	case p.verb == replySkip && !c.multi:
		if c.silence != silenced {
			c.silence = skipNext
		}
		p.flags |= muted
	case c.silence == skipNext:
		c.silence = answering
		p.flags |= muted
	case c.silence == silenced:
		p.flags |= muted
	}
}

// settleSilent takes the commands that get no reply off the head of the FIFO, as if they had succeeded.
func (c *conn) settleSilent() {
	for !c.pending.empty() && !c.tx.running {
		p := c.pending.at(0)
		if !p.silent() && !(p.verb == monitor && c.monitors) {
			return // a second MONITOR is not answered
		}
		if c.tx.open && p.verb.queued() {
			c.enqueue(p)
			continue
		}
		if p.verb == exec && !c.runSilently() {
			return
		}
		silent := *p
		c.pending.pop(&c.tracker.slots)
		c.emit(&silent, Silent, command.OtherPrefix, NoReason, silent.time)
		c.silentEffect(&silent)
	}
}

// silentEffect does what a command does whose reply nobody sees.
func (c *conn) silentEffect(p *pending) {
	switch {
	case p.verb == multi:
		c.tx.begin()
	case p.verb == discard:
		c.tx.end(&c.tracker.slots)
	case p.verb == monitor:
		c.monitors = true
	case p.verb.subscribes():
		c.quietAcks = true
	}
}
