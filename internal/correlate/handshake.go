package correlate

import (
	"encoding/binary"

	"github.com/redis-observer/redis-observer/internal/event"
)

// A TLS handshake is measured at the client's end, by the headers of its records (RFC 8446, section
// 5.1): from the call that sends the ClientHello to the event that completes what both ends have to
// say. With TLS 1.3, and where TLS 1.2 resumes a session, that is the call by which the client begins to
// send its Finished; otherwise the one by which it has received the server's. Until then the
// ciphertext is not turned away. What comes in any other order is not measured.

// handshake is a handshake that goes on.
type handshake struct {
	began int64
	sides [2]handshakeSide // by event.Direction
}

// handshakeSide is what an end has sent of a handshake.
type handshakeSide struct {
	started bool   // next is known
	next    uint32 // offset of the next byte of the stream
	header  [recordHeader]byte
	have    uint8  // bytes of the header of the current record
	body    uint32 // bytes of it that are to come
	changed bool   // it has said ChangeCipherSpec
	over    bool   // it has said its Finished, or with TLS 1.3 what is encrypted before it
}

// The header of a record: type, version, length.
const recordHeader = 5

// Types of records.
const (
	changeCipherSpec = 20
	handshakeRecord  = 22
	applicationData  = 23
)

// longestFinished is the length of the longest record with a Finished of TLS 1.2: with SHA-384 and CBC
// it has 96 bytes. A ClientHello or ServerHello behind a ChangeCipherSpec, as TLS 1.3 has it when the
// server asks for another key, is longer.
const longestFinished = 112

// beginHandshake begins to measure with the event that made the session give the connection up, if
// that is a ClientHello.
func (c *conn) beginHandshake(e *event.Event) {
	const clientHello = 1
	if c.role != event.Client || e.Direction != event.Request || e.Untimed || len(e.Data) <= recordHeader ||
		e.Data[0] != handshakeRecord || e.Data[recordHeader] != clientHello {
		return
	}
	h := &handshake{began: e.Time}
	if !h.take(e) {
		return
	}
	c.shaking = true
	c.tracker.shaking[c] = h
}

// endHandshake gives up measuring, or has measured.
func (c *conn) endHandshake() {
	if c.shaking {
		c.shaking = false
		delete(c.tracker.shaking, c)
	}
}

// shakes takes an event of the ciphertext. It reports whether more of them are wanted.
func (c *conn) shakes(e *event.Event) bool {
	if !c.shaking {
		return false
	}
	h := c.tracker.shaking[c]
	if !h.take(e) {
		c.endHandshake()
		return false
	}
	if !h.sides[event.Request].over || !h.sides[event.Reply].over {
		return true
	}
	c.endHandshake()
	c.tracker.lives(Life{Identity: c.pool.identity, Step: Secured, Took: max(0, e.Time-h.began)})
	return false
}

// take reads an event. It returns false if that cannot go on a handshake.
func (h *handshake) take(e *event.Event) bool {
	side, length := &h.sides[e.Direction], uint32(len(e.Data))
	if e.Kind == event.Gap {
		length = e.Len
	}
	if e.Untimed || side.started && e.Seq != side.next {
		return false
	}
	side.started, side.next = true, e.Seq+length
	if e.Kind == event.Gap { // within a record it does not matter
		ok := side.body >= length
		side.body -= min(side.body, length)
		return ok
	}
	for b := e.Data; len(b) > 0; {
		if side.body > 0 {
			n := min(int(side.body), len(b))
			side.body -= uint32(n)
			b = b[n:]
			continue
		}
		n := copy(side.header[side.have:], b)
		b = b[n:]
		if side.have += uint8(n); side.have < recordHeader {
			return true
		}
		side.have, side.body = 0, uint32(binary.BigEndian.Uint16(side.header[3:]))
		if !h.record(e.Direction, side.header[0], side.body) {
			return false
		}
	}
	return true
}

// record takes the header of a record. It returns false for one that does not belong to a handshake.
func (h *handshake) record(d event.Direction, kind byte, length uint32) bool {
	side, other := &h.sides[d], &h.sides[event.Request+event.Reply-d]
	switch {
	case kind == changeCipherSpec:
		side.changed = true
	case kind == handshakeRecord && side.changed && length <= longestFinished:
		side.over = true
	case kind == handshakeRecord:
		side.changed = false // of a second Hello
	case kind == applicationData && (d == event.Reply || other.over):
		side.over = true
	default:
		return false
	}
	return true
}
