package main

import "context"

// watcher is what looks on while a load runs.
type watcher interface {
	name() string
	// start returns when it watches, with its process; nil if it has none.
	start(ctx context.Context, b *bench) (*process, error)
	// account adds what it saw to the outcome of a run, when it has come to rest.
	account(o *outcome, p *process, sent ledger) error
}

// none is the absence of a watcher.
type none struct{}

func (none) name() string                                    { return "" }
func (none) start(context.Context, *bench) (*process, error) { return nil, nil }
func (none) account(_ *outcome, _ *process, _ ledger) error  { return nil }

// observing is the observer at one end of the connections. Each run has a new one, whose counters begin at 0.
type observing struct{ role string }

func (observing) name() string { return "observer" }

func (w observing) start(ctx context.Context, b *bench) (*process, error) {
	o, err := b.attach(ctx, w.role, redisPort)
	if err != nil {
		return nil, err
	}
	return o.process, nil
}
