package main

import (
	"io/fs"
	"math"
	"runtime/debug"

	"github.com/redis-observer/redis-observer/internal/cgroup"
)

// besideHeap is the memory of the cgroup besides the heap and the ring, in bytes: kernel maps, page
// tables, program pages.
const besideHeap = 32 << 20

// limitMemory sets the memory limit of the Go runtime and returns it, in bytes: GOMEMLIMIT if that
// is set, otherwise the limit of the memory cgroup less the ring and the per-CPU rings, which can
// be as large, but at least half of it. It returns math.MaxInt64 without a limit. root is the root
// of the file system.
func limitMemory(root fs.FS, ringSize int64) int64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	limit, limited := cgroup.MemoryLimit(root)
	if !limited {
		return math.MaxInt64
	}
	limit = max(limit/2, limit-2*ringSize-besideHeap)
	debug.SetMemoryLimit(limit)
	return limit
}
