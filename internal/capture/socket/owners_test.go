package socket

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/bpf"
)

func namesOf(names ...string) []byte {
	payload := make([]byte, bpf.CgroupLevels*bpf.CgroupName)
	for i, name := range names {
		copy(payload[i*bpf.CgroupName:], name)
	}
	return payload
}

func TestCgroupPath(t *testing.T) {
	for _, test := range []struct {
		payload []byte
		want    string
	}{
		{namesOf("app.service", "system.slice"), "/system.slice/app.service"},
		{namesOf(), "/"},
		{nil, "/"},
		{namesOf("a", "", "b"), "/a"},
		{namesOf("a\xff"), "/a\uFFFD"},
		{make([]byte, bpf.CgroupName-1), "/"},
	} {
		assert.Equal(t, test.want, pathOf(test.payload))
	}
}

func TestOwners(t *testing.T) {
	o := newOwners()
	assert.Empty(t, o.of(7).incomplete.Cgroup, "no names were told")
	o.learn(7, namesOf("a"))
	assert.Equal(t, "/a", o.of(7).incomplete.Cgroup)
	first := o.of(7).run([]byte("app"))
	assert.Equal(t, "app", first.Executable)
	assert.True(t, first.Complete)
	assert.Same(t, first, o.of(7).run([]byte("app")))
	o.learn(7, namesOf("a"))
	assert.Same(t, first, o.of(7).run([]byte("app")), "told again, the same")
	o.learn(7, namesOf("b"))
	assert.Equal(t, "/b", o.of(7).run([]byte("app")).Cgroup, "renamed")
	o.learn(0, namesOf("c"))
	assert.Empty(t, o.of(0).incomplete.Cgroup)
	for i := range 2 * maxExecutables {
		o.of(7).run(fmt.Append(nil, i))
	}
	assert.Len(t, o.of(7).executables, maxExecutables)
}

// The latest cgroup of each slot is remembered, and the number of others is bounded.
func TestOwnersAreBounded(t *testing.T) {
	o := newOwners()
	const last = 4 * (maxSuperseded + cgroupSlots)
	for id := uint64(1); id <= last; id++ {
		o.learn(id, namesOf("a"))
	}
	assert.LessOrEqual(t, len(o.cgroups), maxSuperseded+cgroupSlots+1)
	for id := uint64(last - cgroupSlots + 1); id <= last; id++ {
		assert.Equal(t, "/a", o.of(id).incomplete.Cgroup)
	}
	assert.Empty(t, o.of(1).incomplete.Cgroup)
}
