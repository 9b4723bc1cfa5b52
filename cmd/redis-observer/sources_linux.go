package main

import (
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/metrics"
)

// sources are what the recorder reads from the other stages at every scrape.
func (o *observer) sources() metrics.Sources {
	return metrics.Sources{
		Backend:        o.source.Backend(),
		Capture:        o.source.Stats,
		LastRead:       o.alive.at,
		Tracker:        o.tracker.Stats,
		Pools:          func() []correlate.Pool { return livePools(o.tracker, o.names) },
		LookupFailures: o.names.LookupFailures,
		LogDropped:     o.log.dropped,
	}
}
