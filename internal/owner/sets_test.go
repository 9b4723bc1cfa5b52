package owner_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/naming"
	"github.com/redis-observer/redis-observer/internal/owner"
)

type sets struct {
	*owner.Sets
	names *naming.Names
}

func newSets(most int, labels ...string) sets { return newSetsOfPods(nil, most, labels...) }

// knownPods are pods by their UID.
type knownPods map[string]owner.Pod

func (p knownPods) find(uid, container string) (owner.Pod, bool) {
	pod, found := p[uid]
	if container != containerID {
		pod.Container = ""
	}
	return pod, found
}

var containerID = strings.Repeat("0123456789abcdef", 4)

const (
	podUID   = "12345678-90ab-cdef-1234-567890abcdef"
	podGroup = "/kubepods/burstable/pod" + podUID + "/"
)

func newSetsOfPods(pods knownPods, most int, labels ...string) sets {
	return newSetsWith(owner.Options{Labels: labels, Max: most, Pod: pods.find})
}

func newSetsWith(options owner.Options) sets {
	names := naming.New(context.Background(), &naming.Rules{DefaultName: "default", ResolveInterval: time.Minute}, net.DefaultResolver, slog.New(slog.DiscardHandler))
	options.Names, options.TTL = names, time.Hour
	return sets{owner.New(options), names}
}

func (s sets) label(role event.Role, o *event.Owner) identity.ID {
	e := &event.Endpoints{LocalPort: 6379, RemotePort: 50000, Remote: netip.MustParseAddr("::ffff:10.0.0.9").As16()}
	return s.Label(s.names.Registry().IDs()[0], role, e, o)
}

func (s sets) relabel(id identity.ID, o *event.Owner) identity.ID {
	return s.Relabel(id, event.Client, &event.Endpoints{LocalPort: 6379, RemotePort: 50000}, o)
}

func (s sets) values(t *testing.T, id identity.ID) []string {
	t.Helper()
	values, found := s.Registry().Values(id)
	require.True(t, found)
	return values
}

func never(identity.ID) bool { return false }

func TestLabels(t *testing.T) {
	s := newSets(10, "client_address", "container_id", "process_executable_name", "systemd_unit")
	assert.Equal(t, []string{"name", "client_address", "container_id", "process_executable_name", "systemd_unit"}, s.Registry().Labels())
	assert.Subset(t, owner.Labels(), s.Registry().Labels()[1:])
	app := &event.Owner{Cgroup: "/system.slice/app.service", Executable: "app", Complete: true}
	assert.Equal(t, []string{"default", "10.0.0.9", "", "app", "app.service"}, s.values(t, s.label(event.Server, app)))
	assert.Equal(t, []string{"default", "", "", "app", "app.service"}, s.values(t, s.label(event.Client, app)))
	assert.Equal(t, []string{"default", "", "", "", "app.service"}, s.values(t, s.label(event.Client, &event.Owner{Cgroup: app.Cgroup})), "before the first call")
	assert.Zero(t, s.Stats().Unknown["process_executable_name"])
	for range 2 {
		assert.Equal(t, []string{"default", "", "unknown", "unknown", "unknown"}, s.values(t, s.label(event.Client, nil)))
	}
	stats := s.Stats()
	assert.Equal(t, 4, stats.Sets)
	assert.Equal(t, map[string]uint64{"client_address": 0, "container_id": 2, "process_executable_name": 2, "systemd_unit": 2}, stats.Unknown)
}

func TestLabelsOfPods(t *testing.T) {
	labels := []string{"k8s_namespace_name", "k8s_pod_name", "k8s_container_name", "k8s_owner_kind", "k8s_owner_name"}
	assert.True(t, owner.PodsWanted(labels[:1], false))
	assert.False(t, owner.PodsWanted([]string{"container_id", "client_address"}, true))
	assert.False(t, owner.PodsWanted([]string{"container_name"}, false))
	assert.True(t, owner.PodsWanted([]string{"container_name"}, true))
	pods := knownPods{}
	s := newSetsOfPods(pods, 10, labels...)
	app := &event.Owner{Cgroup: podGroup + containerID, Executable: "app", Complete: true}
	late := s.label(event.Client, app)
	assert.Equal(t, []string{"default", "unknown", "unknown", "unknown", "unknown", "unknown"}, s.values(t, late))
	assert.True(t, s.Waits(late))
	assert.True(t, s.Waiting())
	assert.Equal(t, late, s.relabel(late, app))

	pods[podUID] = owner.Pod{Namespace: "shop", Name: "web-0", Container: "app", OwnerKind: "StatefulSet", OwnerName: "web"}
	known := s.relabel(late, app)
	assert.Equal(t, []string{"default", "shop", "web-0", "app", "StatefulSet", "web"}, s.values(t, known))
	assert.False(t, s.Waits(known))
	assert.Equal(t, known, s.label(event.Client, app))

	// The pod is known, and its container not yet.
	beginning := s.label(event.Client, &event.Owner{Cgroup: podGroup + strings.Repeat("f", 64), Complete: true})
	assert.Equal(t, []string{"default", "shop", "web-0", "unknown", "StatefulSet", "web"}, s.values(t, beginning))
	assert.True(t, s.Waits(beginning))
	assert.Equal(t, uint64(2), s.Stats().Unknown["k8s_container_name"], "relabelling does not count again")
	assert.Equal(t, uint64(1), s.Stats().Unknown["k8s_pod_name"])

	outside := s.label(event.Client, &event.Owner{Cgroup: "/system.slice/app.service", Complete: true})
	assert.Equal(t, []string{"default", "", "", "", "", ""}, s.values(t, outside), "of no pod")
	nobody := s.label(event.Client, nil)
	assert.Equal(t, late, nobody)
	assert.Equal(t, nobody, s.relabel(nobody, nil), "the cgroup is not known, so the pod never is")

	// What only connections had that were labelled anew is released at once.
	assert.ElementsMatch(t, []identity.ID{late, beginning}, s.Expired(1, never, never))
}

func TestMaximum(t *testing.T) {
	s := newSets(2, "process_executable_name")
	var ids []identity.ID
	for i := range 5 {
		ids = append(ids, s.label(event.Client, &event.Owner{Executable: strconv.Itoa(i), Complete: true}))
	}
	assert.Equal(t, []string{"default", "1"}, s.values(t, ids[1]))
	assert.Equal(t, []string{"default", "other"}, s.values(t, ids[4]))
	assert.Equal(t, ids[2], ids[4])
	assert.Equal(t, uint64(3), s.Stats().Overflow)
	assert.Equal(t, 3, s.Stats().Sets)

	s.Release(ids[0])
	s.Release(ids[4])
	assert.Equal(t, []string{"default", "7"}, s.values(t, s.label(event.Client, &event.Owner{Executable: "7", Complete: true})), "there is room again")
}

func TestExpired(t *testing.T) {
	s := newSets(10, "process_executable_name")
	id := s.label(event.Client, &event.Owner{Executable: "app", Complete: true})
	carried := true
	expired := func(at time.Duration) []identity.ID {
		return s.Expired(int64(at), func(identity.ID) bool { return carried }, never)
	}
	assert.Empty(t, expired(time.Second))
	assert.Empty(t, expired(2*time.Hour), "it has a connection")
	carried = false
	assert.Empty(t, expired(3*time.Hour), "since now it has none")
	assert.Empty(t, expired(4*time.Hour-time.Second))
	assert.Equal(t, []identity.ID{id}, expired(4*time.Hour))
	s.Release(id)
	_, found := s.Registry().Values(id)
	assert.False(t, found)
	assert.Zero(t, s.Stats().Sets)

	partial := s.label(event.Client, &event.Owner{Cgroup: "/a"})
	assert.Equal(t, []identity.ID{partial}, expired(5*time.Hour), "no first call was seen")
	assert.Empty(t, s.Expired(int64(5*time.Hour), never, func(identity.ID) bool { return true }), "it has series")
	assert.Equal(t, partial, s.label(event.Client, &event.Owner{Cgroup: "/a"}))
}

func TestRetiredNames(t *testing.T) {
	s := newSets(10, "process_executable_name")
	old := s.names.Registry().IDs()[0]
	id := s.label(event.Client, &event.Owner{Executable: "app", Complete: true})
	assert.True(t, s.Configured(id))
	assert.Empty(t, s.Retired())
	s.names.Apply(context.Background(), &naming.Rules{DefaultName: "another", ResolveInterval: time.Minute})
	assert.False(t, s.Configured(id))
	assert.Equal(t, []identity.ID{id}, s.Retired())
	s.ReleaseNames()
	_, found := s.names.Registry().Values(old)
	assert.True(t, found, "a set has it")
	s.Release(id)
	_, found = s.names.Registry().Values(old)
	assert.False(t, found)
}
