package packet

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/host"
)

// wallClock converts the time stamps of packets, which are wall-clock times, into CLOCK_MONOTONIC.
// Setting the wall clock shifts no result by more than the delay of the packets: an impossible time
// stamp, from the future or before the packets read already, shows that it was set.
type wallClock struct {
	wall, monotonic func() int64
	late            int64 // ns by which packets may be read late or out of order
	ahead           int64 // ns by which the wall clock is ahead of the monotonic clock
	checked         int64 // when ahead was last checked
	newest          int64 // the latest time of a packet
}

func newWallClock(late time.Duration) *wallClock {
	c := &wallClock{wall: func() int64 { return time.Now().UnixNano() }, monotonic: host.Monotonic, late: int64(late)}
	c.now()
	return c
}

// now returns CLOCK_MONOTONIC, and updates ahead. It keeps the old value if that is still possible:
// the clocks are read one after the other, and a delay in between must not shift the times of
// packets.
func (c *wallClock) now() int64 {
	before := c.monotonic()
	wall := c.wall()
	c.checked = c.monotonic()
	least, most := wall-c.checked, wall-before
	if c.ahead < least || c.ahead > most {
		c.ahead = least + (most-least)/2
	}
	return c.checked
}

// of converts the time stamp of a packet.
func (c *wallClock) of(stamp int64) int64 {
	at := stamp - c.ahead
	if at < c.newest-c.late || at > c.checked+c.late {
		now := c.now()
		at = stamp - c.ahead
		if at < c.newest-c.late || at > now { // stamped before the clock was set
			at = max(c.newest, now-c.late)
		}
	}
	c.newest = max(c.newest, at)
	return at
}
