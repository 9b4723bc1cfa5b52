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

// check returns nil if the loop read events of late.
func (p *pulse) check() error {
	last := p.last.Load()
	if last == 0 {
		return errNotAttached
	}
	if quiet := time.Since(time.Unix(0, last)); quiet > silence {
		return fmt.Errorf("events were last read %s ago", quiet.Round(time.Second))
	}
	return nil
}
