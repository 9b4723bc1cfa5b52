package correlate

import (
	"github.com/redis-observer/redis-observer/internal/correlate/reorder"
	"github.com/redis-observer/redis-observer/internal/event"
)

// A TLS connection is read as soon as its source sees the plaintext. From then on nothing of the
// ciphertext is read any more, and the offsets of its socket say nothing about the streams.

// decides reports whether the bytes of an event are to be read, where the connection was not one of
// such bytes until now.
func (c *conn) decides(e *event.Event) bool {
	if e.Plaintext == event.NotPlaintext {
		c.tracker.turnAway(e)
		return false
	}
	c.endHandshake()
	c.clearHeld()
	for i := range c.buffers {
		c.buffers[i] = reorder.Buffer{}
		c.buffers[i].Start(0)
	}
	c.plaintext, c.unwanted = e.Plaintext, 0
	c.session.Decrypt(e.Plaintext == event.WholePlaintext)
	return true
}

// hasOffsets reports whether the offsets of the socket are those of the streams.
func (c *conn) hasOffsets() bool { return c.plaintext == event.NotPlaintext }
