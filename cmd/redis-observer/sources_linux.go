package main

import "github.com/redis-observer/redis-observer/internal/metrics"

// sources are what the recorder reads at every scrape, besides the tracker.
func (o *observer) sources() metrics.Sources {
	return metrics.Sources{
		Backend:        o.source.Backend(),
		Capture:        o.source.Stats,
		LastRead:       o.alive.at,
		LookupFailures: o.names.LookupFailures,
		LogDropped:     o.log.dropped,
	}
}
