package owner

import (
	"slices"

	"github.com/redis-observer/redis-observer/internal/event"
)

// The values of labels that say nothing of the owner.
const (
	unknown = "unknown" // it cannot be found
	other   = "other"   // there are too many sets
)

// source finds the value of a label for one end of a connection. g is what the cgroup of its owner
// says, nil if that is not known.
type source func(role event.Role, e *event.Endpoints, owner *event.Owner, g *group) string

// sources are all labels, by the names that OpenTelemetry gives to attributes.
var sources = map[string]source{
	"process_executable_name": executable,
	"systemd_unit":            fromGroup(func(g *group) string { return g.unit }),
	"container_id":            fromGroup(func(g *group) string { return g.container }),
	"client_address":          clientAddress,
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

// executable is "" before the first call on a connection, which shows the program.
func executable(_ event.Role, _ *event.Endpoints, owner *event.Owner, _ *group) string {
	switch {
	case owner != nil && owner.Executable != "":
		return owner.Executable
	case owner != nil && !owner.Complete:
		return ""
	default:
		return unknown
	}
}

func fromGroup(value func(*group) string) source {
	return func(_ event.Role, _ *event.Endpoints, _ *event.Owner, g *group) string {
		if g == nil {
			return unknown
		}
		return value(g)
	}
}

// clientAddress is the IP address of the other end, where that is the client. Its port would make
// each connection a set of its own.
func clientAddress(role event.Role, e *event.Endpoints, _ *event.Owner, _ *group) string {
	if _, unix := e.Path(role); unix || role != event.Server {
		return ""
	}
	return e.RemoteAddrPort().Addr().String()
}
