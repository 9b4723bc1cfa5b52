package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// process is a watcher at work.
type process interface {
	PID() int
	Stop() error
}

var _ process = (*kit.Observer)(nil)

// processes are those of a watcher.
type processes []process

// cpu returns the CPU time that they used so far.
func (all processes) cpu() (sum time.Duration, err error) {
	for _, p := range all {
		used, err := cpu(p.PID())
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// settle waits until they have read all that is left.
func (all processes) settle() error {
	for _, p := range all {
		if err := settle(p.PID()); err != nil {
			return err
		}
	}
	return nil
}

func (all processes) stop() error {
	var errs []error
	for _, p := range all {
		errs = append(errs, p.Stop())
	}
	return errors.Join(errs...)
}

// watcher is what looks on while a load runs.
type watcher interface {
	name() string
	// start returns when it watches, with its processes.
	start(ctx context.Context) (processes, error)
	// account adds what it saw to the outcome of a run, when it has come to rest.
	account(o *outcome, running processes, sent ledger) error
}

// none is the absence of a watcher.
type none struct{}

func (none) name() string                              { return "" }
func (none) start(context.Context) (processes, error)  { return nil, nil }
func (none) account(*outcome, processes, ledger) error { return nil }

// The names of the observers.
const (
	theObserver = "observer"
	theOther    = "other" // another build, or more configuration
)

// atBothEnds is the role of two observers, one at each end: one observer counts an address at one end only.
const atBothEnds = "both"

// observing is an observer at one end of the connections, or one at each. Each run has new ones, whose counters begin at 0.
type observing struct {
	label, build, role, more string
	addresses                []string
}

// observers returns the watchers that every case has: none, the observer, and the one it is compared with.
func (b *bench) observers(role string, addresses ...string) []watcher {
	all := []watcher{none{}, observing{label: theObserver, build: b.observer, role: role, addresses: addresses}}
	if b.against != "" || b.with != "" {
		all = append(all, observing{theOther, cmp.Or(b.against, b.observer), role, b.with, addresses})
	}
	return all
}

func (w observing) name() string { return w.label }

func (w observing) start(context.Context) (running processes, err error) {
	roles := []string{w.role}
	if w.role == atBothEnds {
		roles = []string{"client", "server"}
	}
	for _, role := range roles {
		o, err := attach(w.build, role, w.more, w.addresses...)
		if err != nil {
			return nil, errors.Join(err, running.stop())
		}
		running = append(running, o)
	}
	return running, nil
}
