package packet

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// clocks are clocks that a test sets.
type clocks struct {
	now, ahead int64
	between    int64 // ns that each reading takes
}

func (c *clocks) wallClock() *wallClock {
	tick := func() { c.now += c.between }
	d := &wallClock{
		wall:      func() int64 { tick(); return c.now + c.ahead },
		monotonic: func() int64 { tick(); return c.now },
		late:      int64(20 * time.Millisecond),
	}
	d.now()
	return d
}

// A step changes no time of packets that are stamped behind it, and those from before it by no more
// than they are late.
func TestDayClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 40 * 365 * 24 * time.Hour, 25 * time.Millisecond, -50 * time.Millisecond, 0} {
		c := &clocks{now: int64(time.Hour), ahead: int64(50 * 365 * 24 * time.Hour)}
		d := c.wallClock()
		for round := range 5 {
			c.now += int64(200 * time.Millisecond)
			assert.Equal(t, c.now, d.of(c.now+c.ahead), "%s, round %d", step, round)
			before, stamp := c.now, c.now+c.ahead
			c.now += int64(5 * time.Millisecond)
			c.ahead += int64(step)
			if round%2 == 0 {
				assert.Equal(t, c.now, d.of(c.now+c.ahead), "%s, round %d: the first behind the step", step, round)
			}
			at := d.of(stamp)
			assert.LessOrEqual(t, at, c.now)
			assert.InDelta(t, before, at, float64(d.late), "%s, round %d: stamped before, read after", step, round)
			c.now += int64(5 * time.Millisecond)
			assert.Equal(t, c.now, d.of(c.now+c.ahead), "%s, round %d", step, round)
		}
	}
}

// An interruption between reading the two clocks does not change the result.
func TestDayClockIsReadSlowly(t *testing.T) {
	c := &clocks{now: int64(time.Hour), ahead: int64(50 * 365 * 24 * time.Hour)}
	d := c.wallClock()
	assert.Equal(t, c.ahead, d.ahead)
	c.between = int64(7 * time.Millisecond)
	d.now()
	assert.Equal(t, c.ahead, d.ahead)
	c.ahead += int64(time.Hour)
	d.now()
	assert.InDelta(t, c.ahead, d.ahead, float64(c.between))
}

// The clocks of this machine.
func TestDayClock(t *testing.T) {
	d := newWallClock(20 * time.Millisecond)
	for range 1000 {
		now, at := d.now(), d.of(time.Now().UnixNano())
		assert.InDelta(t, now, at, float64(20*time.Millisecond)) // the longest delay between the readings
	}
}
