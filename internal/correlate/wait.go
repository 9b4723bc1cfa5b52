package correlate

import (
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Wait is how long Count requests (role server) or replies (role client) lay in the socket of the
// observed end before it read them, from when the byte by which each ends became readable.
type Wait struct {
	Identity identity.ID
	Role     event.Role
	Unknown  UnknownWait
	Count    uint32
	Time     int64 // of each, in nanoseconds; session.NoDuration if it is not known
}

// UnknownWait is why a Wait is not known.
type UnknownWait uint8

// The reasons.
const (
	KnownWait    UnknownWait = iota
	NoArrival                // when the bytes became readable was not seen, or is not remembered
	WaitsOfTLS               // plaintext has other offsets than what arrives
	WaitsOfUnix              // bytes do not arrive in a Unix socket, but are there when they are sent
	UnknownWaits             // how many reasons there are
)

// unknownWait returns why a wait of the connection is not known.
func (c *conn) unknownWait() UnknownWait {
	if c.plaintext != event.NotPlaintext {
		return WaitsOfTLS
	}
	if _, unix := c.endpoints.Path(c.role); unix {
		return WaitsOfUnix
	}
	return NoArrival
}
