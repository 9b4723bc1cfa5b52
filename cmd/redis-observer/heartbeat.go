package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// staleAfter is the age of the last beat after which the loop counts as stalled. A source delivers
// a Tick at least once a second.
const staleAfter = 10 * time.Second

// errNotAttached is the state before the first beat.
var errNotAttached = errors.New("probes are not attached yet")

// began is a reference point of the monotonic clock.
var began = time.Now()

// heartbeat records when the loop last read events.
type heartbeat struct {
	last atomic.Int64 // in nanoseconds since began; 0 before the first beat
	// next are closed at the next beat, and ended after the last one. Both are nil where nobody awaits.
	next  chan chan struct{}
	ended chan struct{}
}

func newHeartbeat() *heartbeat {
	return &heartbeat{next: make(chan chan struct{}, 16), ended: make(chan struct{})}
}

// end is called once, after the last beat.
func (p *heartbeat) end() { close(p.ended) }

// beat is called when the loop has read all events that there were.
func (p *heartbeat) beat() {
	p.last.Store(max(1, int64(time.Since(began))))
	for {
		select {
		case waiter := <-p.next:
			close(waiter)
		default:
			return
		}
	}
}

// await calls wake, which causes a beat, and waits for the next beat. It returns false after the
// deadline, and after the last beat.
func (p *heartbeat) await(wake func(), deadline <-chan time.Time) bool {
	beaten := make(chan struct{})
	select {
	case p.next <- beaten:
	case <-p.ended:
		return false
	case <-deadline:
		return false
	}
	wake()
	select {
	case <-beaten:
		return true
	case <-p.ended:
		return false
	case <-deadline:
		return false
	}
}

// age returns the time since the last beat, or false before the first.
func (p *heartbeat) age() (time.Duration, bool) {
	last := p.last.Load()
	return time.Since(began) - time.Duration(last), last != 0
}

// at returns the wall-clock time of the last beat, or the zero time before the first.
func (p *heartbeat) at() time.Time {
	age, beaten := p.age()
	if !beaten {
		return time.Time{}
	}
	return time.Now().Add(-age)
}

// check returns nil if the last beat is recent.
func (p *heartbeat) check() error {
	age, beaten := p.age()
	if !beaten {
		return errNotAttached
	}
	if age > staleAfter {
		return fmt.Errorf("events were last read %s ago", age.Round(time.Second))
	}
	return nil
}
