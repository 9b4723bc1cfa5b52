package socket

import (
	"bytes"
	"slices"
	"strings"

	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Limits of what is remembered. The probes tell the names of a cgroup again only after they have
// told those of another one in the same of their 4096 slots, so at least the latest of each slot
// must be remembered.
const (
	cgroupSlots    = 4096
	maxSuperseded  = 2 * cgroupSlots
	maxExecutables = 256 // of one cgroup; beyond them owners are no longer shared
)

// owners are the owners of connections. It is for the goroutine that calls Read.
type owners struct {
	cgroups    map[uint64]*members
	latest     map[uint64]uint64 // by slot, the cgroup that was told last
	superseded []uint64          // those that were the latest of their slot before, the oldest first
}

// members are the owners of one cgroup.
type members struct {
	path        string
	incomplete  *event.Owner
	executables map[string]*event.Owner
}

func newOwners() *owners {
	return &owners{cgroups: map[uint64]*members{0: newMembers("")}, latest: map[uint64]uint64{}}
}

func newMembers(path string) *members {
	return &members{path: path, incomplete: &event.Owner{Cgroup: path}, executables: map[string]*event.Owner{}}
}

// learn remembers the names of a cgroup.
func (o *owners) learn(cgroup uint64, names []byte) {
	if o == nil || cgroup == 0 {
		return
	}
	slot := cgroup % cgroupSlots
	if before, found := o.latest[slot]; found && before != cgroup {
		o.supersede(before)
	}
	o.latest[slot] = cgroup
	if path := pathOf(names); o.cgroups[cgroup] == nil || o.cgroups[cgroup].path != path {
		o.cgroups[cgroup] = newMembers(path)
	}
}

// supersede notes that the names of a cgroup will be told again when they are needed. Two CPUs may
// have told the names of two cgroups in the other order, so they are forgotten much later.
func (o *owners) supersede(cgroup uint64) {
	o.superseded = append(o.superseded, cgroup)
	if len(o.superseded) <= maxSuperseded {
		return
	}
	oldest := o.superseded[0]
	o.superseded = slices.Delete(o.superseded, 0, 1)
	if o.latest[oldest%cgroupSlots] != oldest && !slices.Contains(o.superseded, oldest) {
		delete(o.cgroups, oldest)
	}
}

// fill sets the owner of an event that has one.
func (o *owners) fill(e *event.Event, head *bpf.Event, payload []byte) {
	e.Owner = nil
	if o == nil {
		return
	}
	switch e.Kind {
	case event.Open, event.Existing:
		e.Owner = o.of(head.Cgroup()).incomplete
	case event.Owned, event.ConnectFailed:
		executable, _, _ := bytes.Cut(payload, []byte{0})
		e.Owner, e.Data = o.of(head.Cgroup()).run(executable), nil
	}
}

// of returns the members of a cgroup, and those of no cgroup if its names are not known.
func (o *owners) of(cgroup uint64) *members {
	if found := o.cgroups[cgroup]; found != nil {
		return found
	}
	return o.cgroups[0]
}

// run returns the owner that runs an executable.
func (m *members) run(executable []byte) *event.Owner {
	if found := m.executables[string(executable)]; found != nil {
		return found
	}
	owner := &event.Owner{Cgroup: m.path, Executable: strings.ToValidUTF8(string(executable), "\uFFFD"), Complete: true}
	if len(m.executables) < maxExecutables {
		m.executables[string(executable)] = owner
	}
	return owner
}

// pathOf returns the path of a cgroup from its name and those around it.
func pathOf(names []byte) string {
	var path []string
	for len(path) < bpf.CgroupLevels && len(names) >= bpf.CgroupName {
		name, _, _ := bytes.Cut(names[:bpf.CgroupName], []byte{0})
		names = names[bpf.CgroupName:]
		if len(name) == 0 {
			break
		}
		path = append(path, strings.ToValidUTF8(string(name), "\uFFFD"))
	}
	slices.Reverse(path)
	return "/" + strings.Join(path, "/")
}
