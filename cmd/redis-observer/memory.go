package main

import (
	"io/fs"
	"math"
	"runtime/debug"

	"github.com/redis-observer/redis-observer/internal/cgroup"
)

// besideHeap is what the cgroup is charged for besides the heap and the ring: maps of the kernel, tables of pages, pages of the program.
const besideHeap = 32 << 20

// limitMemory returns how many bytes the runtime may use, and tells it so: what GOMEMLIMIT says, else what the memory cgroup leaves beside the ring
// and as much in lanes; no less than half of it. It is math.MaxInt64 where nothing limits it. root is the root of the file system.
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
