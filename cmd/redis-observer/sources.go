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
		Tracker:        o.tracker.Stats,
		Pools:          o.pools,
		LookupFailures: o.names.LookupFailures,
	}
}

// pools returns one pool for each name that was ever configured: the pool of a name that never had a connection reads 0, and an alert can see it.
func (o *observer) pools() []correlate.Pool {
	pools := make([]correlate.Pool, len(o.names.Registry().Names()))
	for i := range pools {
		pools[i].Name = correlate.NameID(i)
	}
	for _, pool := range o.tracker.Pools() {
		pools[pool.Name] = pool
	}
	return pools
}
