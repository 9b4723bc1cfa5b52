package main

import (
	"time"

	"github.com/redis-observer/redis-observer/internal/metrics"
)

// sources returns the counters that scrapes read besides those of the tracker.
func (o *observer) sources() metrics.Sources {
	sources := metrics.Sources{
		CatchUp:        o.catchUp,
		Backend:        o.source.Backend(),
		Capture:        o.source.Stats,
		LastRead:       o.alive.at,
		LookupFailures: o.names.LookupFailures,
		WatchFailures:  o.names.ServiceFailures,
		LogDropped:     o.log.dropped,
		Exports:        o.exportStats(),
		Now:            time.Now,
	}
	if o.podWatch != nil {
		sources.PodWatchFailures = o.podWatch.failures.Load
	}
	return sources
}
