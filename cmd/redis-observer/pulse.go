package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// silence is how long the loop may show no sign of life. A source delivers a Tick at least once a second.
const silence = 10 * time.Second

// errNotAttached is why the observer is not ready at its start.
var errNotAttached = errors.New("probes are not attached yet")

// began is a moment of the monotonic clock, which nobody sets. Durations are measured from it.
var began = time.Now()

// pulse tells whether the loop is reading.
type pulse struct {
	last atomic.Int64 // in nanoseconds since began; 0 before the first beat
}

func (p *pulse) beat() { p.last.Store(max(1, int64(time.Since(began)))) }

// quiet returns how long ago the loop last showed that it lives, false if it has not yet.
func (p *pulse) quiet() (time.Duration, bool) {
	last := p.last.Load()
	return time.Since(began) - time.Duration(last), last != 0
}

// at returns when the loop last showed that it lives, by the clock of the day as it is now; the zero time if it has not yet.
func (p *pulse) at() time.Time {
	quiet, beaten := p.quiet()
	if !beaten {
		return time.Time{}
	}
	return time.Now().Add(-quiet)
}

// check returns nil if the loop read events of late.
func (p *pulse) check() error {
	quiet, beaten := p.quiet()
	if !beaten {
		return errNotAttached
	}
	if quiet > silence {
		return fmt.Errorf("events were last read %s ago", quiet.Round(time.Second))
	}
	return nil
}
