package bpf

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestShortInterval(t *testing.T) {
	const ms, us = time.Millisecond, time.Microsecond
	for name, test := range map[string]struct{ interval, took, longest, next time.Duration }{
		"as it should be":               {3 * ms, drainTime, 5 * ms, 3 * ms},
		"twice the work":                {4 * ms, 2 * drainTime, 5 * ms, 2 * ms},
		"half the work":                 {2 * ms, drainTime / 2, 5 * ms, 4 * ms},
		"little work":                   {2 * ms, drainTime / 9, 5 * ms, 5 * ms},
		"much work":                     {5 * ms, 100 * ms, 5 * ms, minInterval},
		"another thread":                {2 * ms, -time.Hour, 5 * ms, 5 * ms},
		"no time at all":                {2 * ms, 0, 5 * ms, 5 * ms},
		"shorter than can be waited":    {100 * us, drainTime, 100 * us, 100 * us},
		"after a long wait":             {100 * ms, 2 * ms, 5 * ms, minInterval},
		"what does not round to itself": {3 * ms, drainTime + 3*us, 5 * ms, 3 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.next, shortInterval(test.interval, test.took, test.longest))
		})
	}
}

// traffic is a load, as drains of its events feel it.
type traffic struct {
	perSecond float64       // commands
	cost      time.Duration // of one in a drain
	opens     bool          // each drain reads something from the ring buffer
}

const (
	wakeUp  = 15 * time.Microsecond
	perRing = 1300 // events in one of 128 KiB
)

// settle lets a pace run for some time. It returns the wake-ups and the CPU time, each per second, and the longest wait.
func (t traffic) settle(p *pace, seconds float64) (wakeUps, share float64, longest time.Duration) {
	var at, took time.Duration
	read := 0 // commands
	for at.Seconds() < seconds {
		n := int(t.perSecond*at.Seconds()) - read
		read += n
		d := drain{took: wakeUp + time.Duration(n)*t.cost, busy: n > 0, shared: t.opens}
		d.fill = min(float64(n)/perRing, 1)
		_, wait := p.next(d)
		at, took, wakeUps, longest = at+wait, took+d.took, wakeUps+1, max(longest, wait)
	}
	return wakeUps / at.Seconds(), took.Seconds() / at.Seconds(), longest
}

func TestPace(t *testing.T) {
	const flush = 100 * time.Millisecond
	for name, test := range map[string]struct {
		traffic
		silent           bool
		wakeUps, share   float64 // at most
		longest, atLeast time.Duration
	}{
		"idle":                         {traffic{}, true, 2, 0.0001, idleWait, idleWait},
		"100 a second":                 {traffic{100, time.Microsecond, false}, true, 12, 0.0005, flush, flush},
		"1,000 a second":               {traffic{1_000, 300, false}, true, 12, 0.0008, flush, flush},
		"10,000 a second":              {traffic{10_000, 300, false}, true, 26, 0.004, 80 * time.Millisecond, 40 * time.Millisecond},
		"saturated":                    {traffic{150_000, 250, false}, true, 1010, 0.06, tryInterval, tryInterval},
		"new connections all the time": {traffic{1000, time.Microsecond, true}, true, 1010, 0.02, tryInterval, tryInterval},
		"each event would wake":        {traffic{10_000, 300, false}, false, 1010, 0.02, maxShort, minInterval},
		"idle where each event wakes":  {traffic{}, false, 2, 0.0001, idleWait, idleWait},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPace(flush, test.silent)
			test.settle(&p, 5)
			wakeUps, share, longest := test.settle(&p, 20)
			assert.LessOrEqual(t, wakeUps, test.wakeUps)
			assert.LessOrEqual(t, share, test.share)
			assert.LessOrEqual(t, longest, test.longest)
			assert.GreaterOrEqual(t, longest, test.atLeast)
		})
	}
}

// After a burst the waits become long again, although a drain between short waits does little but wake up.
func TestPaceAfterABurst(t *testing.T) {
	p := newPace(100*time.Millisecond, true)
	traffic{10_000, 300, false}.settle(&p, 3)
	assert.True(t, p.long)
	traffic{200_000, 300, false}.settle(&p, 3)
	assert.Equal(t, minInterval, p.interval)
	traffic{10_000, 300, false}.settle(&p, 3)
	assert.Equal(t, 40*time.Millisecond, p.interval)
}

// A flush interval below the usual ones bounds all waits while events arrive.
func TestPaceKeepsTheFlushInterval(t *testing.T) {
	p := newPace(2*time.Millisecond, true)
	_, _, longest := traffic{100_000, 1, false}.settle(&p, 5)
	assert.Equal(t, 2*time.Millisecond, longest)
}

func TestOneNewConnectionEndsLongWaits(t *testing.T) {
	p := newPace(100*time.Millisecond, true)
	traffic{1000, 300, false}.settle(&p, 3)
	long, _ := p.next(drain{took: wakeUp, busy: true, shared: true})
	assert.False(t, long)
	traffic{1000, 300, false}.settle(&p, 2)
	assert.True(t, p.long)
}
