package main

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
)

func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	const mib = 1 << 20
	for _, test := range []struct {
		name              string
		set               int64 // by GOMEMLIMIT
		cgroup            string
		ring, want, after int64
	}{
		{"as the manifests ship it", math.MaxInt64, "268435456", 16 * mib, 192 * mib, 192 * mib},
		{"the unit of systemd", math.MaxInt64, "536870912", 16 * mib, 448 * mib, 448 * mib},
		{"a large ring", math.MaxInt64, "268435456", 128 * mib, 128 * mib, 128 * mib},
		{"nothing limits", math.MaxInt64, "max", 16 * mib, math.MaxInt64, math.MaxInt64},
		{"GOMEMLIMIT", 100 * mib, "268435456", 16 * mib, 100 * mib, 100 * mib},
	} {
		t.Run(test.name, func(t *testing.T) {
			debug.SetMemoryLimit(test.set)
			root := fstest.MapFS{
				"proc/self/cgroup":         {Data: []byte("0::/\n")},
				"sys/fs/cgroup/memory.max": {Data: []byte(test.cgroup)},
			}
			assert.Equal(t, test.want, limitMemory(root, test.ring))
			assert.Equal(t, test.after, debug.SetMemoryLimit(-1))
		})
	}
}
