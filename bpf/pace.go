package bpf

import "time"

// Pace of the consumer. Short waits suit a busy machine. A drain should use about drainTime of CPU
// then: an observed process that shares the CPU has to wait for it, and with the consumer at work
// for several per cent of the time more than one command in a hundred meets a drain. A drain that is
// much shorter than a wake-up, which takes 10 to 20 µs, would waste the CPU.
//
// Long waits suit all others. As long as drains take less than a hundredth of the time, they are not
// in the 99th percentile of anything, so they may be as rare as the flush interval allows and the
// per-CPU rings have room for: all events of a tenth of a second share a wake-up. Nothing but the
// ring buffer ends a long wait. It has what is rare and urgent, such as new connections, and what no
// longer fits into the per-CPU rings. After that, or after drains that took too long, waits are short
// for a while; then one of tryInterval shows whether the machine is busy still. The while doubles each
// time that it is.
const (
	drainTime   = 25 * time.Microsecond
	minInterval = time.Millisecond // a shorter one costs more CPU than it saves waiting
	maxShort    = 5 * time.Millisecond
	leastShort  = 100 * time.Millisecond
	mostShort   = time.Second
	tryInterval = 10 * time.Millisecond
	longShare   = 0.01 // of a CPU, the most that drains between long waits use
	idleAfter   = 100 * time.Millisecond
	idleWait    = time.Second
)

// pace decides how the consumer waits.
type pace struct {
	flush time.Duration // the longest wait while events arrive
	// silent says that payload goes to per-CPU rings, which wake nobody. Without them each event
	// would end a long wait, so there are none but idle ones.
	silent bool

	long     bool          // the present interval is one of long waits
	interval time.Duration // the timeout while events arrive
	share    float64       // of a CPU, what the latest drains between long waits used
	short    time.Duration // how long waits have to be short
	retry    time.Duration // how long they will have to be after the next long one
	idle     time.Duration // how long nothing has arrived
}

// drain is what the consumer did between two waits.
type drain struct {
	took   time.Duration // CPU time; not positive if it is unknown, because the thread changed
	fill   float64       // the share of the fullest per-CPU ring that was read
	busy   bool          // there were events
	shared bool          // some of them were in the ring buffer
}

func newPace(flush time.Duration, silent bool) pace {
	return pace{flush: flush, silent: silent, interval: min(flush, maxShort), retry: leastShort}
}

// next returns the timeout of the next wait, and whether only the ring buffer may end it before.
func (p *pace) next(d drain) (long bool, timeout time.Duration) {
	p.idle += p.interval
	if d.busy {
		p.idle = 0
	}
	p.advance(d)
	if p.idle > idleAfter {
		return true, idleWait
	}
	return p.long, p.interval
}

// advance sets the next interval.
func (p *pace) advance(d drain) {
	if p.long {
		// A single slow drain is no sign of a load.
		p.share = (p.share + float64(max(d.took-drainTime, 0))/float64(p.interval)) / 2
		if !d.shared && p.share <= longShare {
			p.retry = leastShort
			switch {
			case d.fill > 1./2:
				p.interval = max(p.interval/2, min(tryInterval, p.flush))
			case d.fill < 1./4:
				p.interval = min(2*p.interval, p.flush)
			}
			return
		}
		p.long, p.short, p.retry = false, p.retry, min(2*p.retry, mostShort)
	} else if p.short -= p.interval; p.silent && p.short <= 0 {
		p.long, p.interval, p.share = true, min(tryInterval, p.flush), 0
		return
	}
	p.interval = shortInterval(p.interval, d.took, min(p.flush, maxShort))
}

// shortInterval returns the interval after which a drain will use drainTime of CPU, if the drain
// after interval used took. It is between minInterval and longest.
func shortInterval(interval, took, longest time.Duration) time.Duration {
	next := longest
	if took > 0 {
		next = interval * drainTime / took
	}
	return min(max(next.Round(time.Millisecond), minInterval), longest)
}
