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

// pulse tells whether the loop is reading.
type pulse struct {
	last atomic.Int64 // in nanoseconds of the Unix clock; 0 before the first beat
}

func (p *pulse) beat() { p.last.Store(time.Now().UnixNano()) }

// at returns when the loop last showed that it lives, the zero time if it has not yet.
func (p *pulse) at() time.Time {
	last := p.last.Load()
	if last == 0 {
		return time.Time{}
	}
	return time.Unix(0, last)
}

// check returns nil if the loop read events of late.
func (p *pulse) check() error {
	last := p.at()
	if last.IsZero() {
		return errNotAttached
	}
	if quiet := time.Since(last); quiet > silence {
		return fmt.Errorf("events were last read %s ago", quiet.Round(time.Second))
	}
	return nil
}
