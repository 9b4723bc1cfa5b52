package packet

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/host"
)

// dayClock turns the time stamps of packets, which are of the clock of the day, into CLOCK_MONOTONIC. Whoever sets the clock of the day changes
// no time by more than the packets are late: a stamp that cannot be, from the future or from before what was read already, says that it was set.
type dayClock struct {
	day, monotonic func() int64
	late           int64 // how long packets wait to be read, or overtake each other
	ahead          int64 // of the clock of the day to the monotonic one
	looked         int64 // when ahead was looked at last
	newest         int64 // the latest time of a packet
}

func newDayClock(late time.Duration) *dayClock {
	c := &dayClock{day: func() int64 { return time.Now().UnixNano() }, monotonic: host.Monotonic, late: int64(late)}
	c.now()
	return c
}

// now returns CLOCK_MONOTONIC, and looks how far the other clock is ahead of it. What was known stays if it can still be: the clocks are
// read one after the other, and what comes between must not move the times of packets.
func (c *dayClock) now() int64 {
	before := c.monotonic()
	day := c.day()
	c.looked = c.monotonic()
	least, most := day-c.looked, day-before
	if c.ahead < least || c.ahead > most {
		c.ahead = least + (most-least)/2
	}
	return c.looked
}

// of returns when a packet with this stamp was captured.
func (c *dayClock) of(stamp int64) int64 {
	at := stamp - c.ahead
	if at < c.newest-c.late || at > c.looked+c.late {
		now := c.now()
		at = stamp - c.ahead
		if at < c.newest-c.late || at > now { // stamped before the clock was set
			at = max(c.newest, now-c.late)
		}
	}
	c.newest = max(c.newest, at)
	return at
}
