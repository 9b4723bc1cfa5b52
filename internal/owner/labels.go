package owner

import (
	"cmp"
	"slices"
	"strings"

	"github.com/redis-observer/redis-observer/internal/event"
)

// The values of labels that say nothing of the owner.
const (
	unknown = "unknown" // it cannot be found
	other   = "other"   // there are too many sets
)

// subject is one end of a connection, and what is known of who has it.
type subject struct {
	role      event.Role
	endpoints *event.Endpoints
	owner     *event.Owner // nil if nothing is known
	group     *group       // what the cgroup says; nil if it is not known
	pod       *Pod         // nil outside of pods, and if it is not known
	runtimes  *Runtimes    // nil if no label needs them
}

// source finds the value of a label.
type source func(s *subject) string

// sources are all labels, by the names that OpenTelemetry gives to attributes, where it has one.
var sources = map[string]source{
	"process_executable_name": executable,
	"systemd_unit":            fromGroup(func(g *group) string { return g.unit }),
	"container_id":            fromGroup(func(g *group) string { return g.container }),
	containerNameLabel:        containerName,
	"client_address":          clientAddress,
	"k8s_namespace_name":      fromPod(func(p *Pod) string { return p.Namespace }),
	"k8s_pod_name":            fromPod(func(p *Pod) string { return p.Name }),
	"k8s_container_name":      fromPod(containerOfPod),
	"k8s_owner_kind":          fromPod(func(p *Pod) string { return p.OwnerKind }),
	"k8s_owner_name":          fromPod(func(p *Pod) string { return p.OwnerName }),
}

// Labels returns the names of all labels, ascending.
func Labels() []string {
	var names []string
	for name := range sources {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Wanted reports whether any of some labels needs the owner of a connection.
func Wanted(labels []string) bool {
	return slices.ContainsFunc(labels, func(label string) bool { return label != "client_address" })
}

// containerNameLabel is found in pods and outside of them.
const containerNameLabel = "container_name"

// PodsWanted reports whether any of some labels needs the pods of the node. inPod tells that there are pods.
func PodsWanted(labels []string, inPod bool) bool {
	return slices.ContainsFunc(labels, func(label string) bool { return strings.HasPrefix(label, "k8s_") }) ||
		inPod && RuntimesWanted(labels)
}

// RuntimesWanted reports whether any of some labels needs the files of runtimes.
func RuntimesWanted(labels []string) bool { return slices.Contains(labels, containerNameLabel) }

// executable is "" before the first call on a connection, which shows the program.
func executable(s *subject) string {
	switch {
	case s.owner != nil && s.owner.Executable != "":
		return s.owner.Executable
	case s.owner != nil && !s.owner.Complete:
		return ""
	default:
		return unknown
	}
}

func fromGroup(value func(*group) string) source {
	return func(s *subject) string {
		if s.group == nil {
			return unknown
		}
		return value(s.group)
	}
}

// fromPod is "" outside of pods.
func fromPod(value func(*Pod) string) source {
	return func(s *subject) string {
		switch {
		case s.group != nil && s.group.pod == "":
			return ""
		case s.pod == nil:
			return unknown
		}
		return value(s.pod)
	}
}

// containerOfPod is not known before the API server tells it, a little after the container has begun.
func containerOfPod(p *Pod) string { return cmp.Or(p.Container, unknown) }

// containerName is the name in the pod, and outside of pods that of the runtime.
func containerName(s *subject) string {
	switch {
	case s.group == nil:
		return unknown
	case s.group.pod != "" && s.pod != nil:
		return containerOfPod(s.pod)
	case s.group.container == "":
		return ""
	case s.group.pod != "":
		return unknown
	}
	return cmp.Or(s.runtimes.name(s.group.container), unknown)
}

// clientAddress is the IP address of the other end, where that is the client. Its port would make
// each connection a set of its own.
func clientAddress(s *subject) string {
	if _, unix := s.endpoints.Path(s.role); unix || s.role != event.Server {
		return ""
	}
	return s.endpoints.RemoteAddrPort().Addr().String()
}
