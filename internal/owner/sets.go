package owner

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Names are the identities of names, which Sets refine (naming.Names).
type Names interface {
	Registry() *identity.Registry
	Configured(id identity.ID) bool
	Keeps(id identity.ID) bool
	Retired() []identity.ID
	Release(id identity.ID)
}

// Pod is what is known of a container and the pod of Kubernetes around it.
type Pod struct {
	Namespace, Name      string
	Container            string // "" if it is not known yet
	OwnerKind, OwnerName string // "" if the pod has no owner
}

// Options are the settings of New. All but Pod are required, Runtimes if a label needs them.
type Options struct {
	Names  Names
	Labels []string      // of Labels
	Max    int           // sets, not counting that of "other" of each name
	TTL    time.Duration // after which a set without a connection is released
	// Pod finds a container, by its ID, in the pod that has a UID in its cgroup. Nil: no pod is known.
	Pod      func(uid, container string) (Pod, bool)
	Runtimes *Runtimes
}

// Sets assigns identities to a name together with the labels of an owner. Label, Relabel, Expired and
// Release are for the goroutine that runs the tracker; any goroutine may call the other methods.
type Sets struct {
	options  Options
	sources  []source
	ofPod    []bool // by label: it needs the pod
	registry *identity.Registry
	groups   groups

	mu   sync.Mutex // guards sets
	sets map[identity.ID]*set

	unknown  []atomic.Uint64 // by label
	overflow atomic.Uint64
}

// set is what is known of an identity.
type set struct {
	name    identity.ID
	partial bool  // no connection under it had its first call yet
	waits   bool  // its pod or container was not known
	idle    int64 // since when it has no connection, in time of the events; 0 while it has one
}

// New returns Sets without a set.
func New(options Options) *Sets {
	s := &Sets{
		options:  options,
		registry: identity.NewRegistry(slices.Concat(options.Names.Registry().Labels(), options.Labels)...),
		groups:   groups{},
		sets:     map[identity.ID]*set{},
		unknown:  make([]atomic.Uint64, len(options.Labels)),
	}
	for _, label := range options.Labels {
		s.sources = append(s.sources, sources[label])
		s.ofPod = append(s.ofPod, PodsWanted([]string{label}, true))
	}
	return s
}

// Registry returns the registry of the identities.
func (s *Sets) Registry() *identity.Registry { return s.registry }

// Label returns the identity of a name together with the labels of an end of a connection. The
// owner is nil if nothing is known of it.
func (s *Sets) Label(name identity.ID, role event.Role, e *event.Endpoints, owner *event.Owner) identity.ID {
	return s.label(name, s.subjectOf(role, e, owner), owner == nil || owner.Complete)
}

// Waits reports whether an identity has an unknown label that may become known (Relabel).
func (s *Sets) Waits(id identity.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.sets[id]
	return found != nil && found.waits
}

// Waiting reports whether any identity waits.
func (s *Sets) Waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, set := range s.sets {
		if set.waits {
			return true
		}
	}
	return false
}

// Relabel returns the identity of a connection that has another one so far: of the same name, with the
// labels that are known now. Unknown ones are not counted again.
func (s *Sets) Relabel(id identity.ID, role event.Role, e *event.Endpoints, owner *event.Owner) identity.ID {
	s.mu.Lock()
	found := s.sets[id]
	s.mu.Unlock()
	if found == nil {
		return id
	}
	return s.label(found.name, s.subjectOf(role, e, owner), false)
}

// subjectOf returns what is known of an end of a connection.
func (s *Sets) subjectOf(role event.Role, e *event.Endpoints, owner *event.Owner) *subject {
	of := &subject{role: role, endpoints: e, owner: owner, group: s.groups.of(owner), runtimes: s.options.Runtimes}
	if s.options.Pod != nil && of.group != nil && of.group.pod != "" {
		if pod, found := s.options.Pod(of.group.pod, of.group.container); found {
			of.pod = &pod
		}
	}
	return of
}

// label returns the identity of a name together with labels. It counts the unknown ones if count is
// set.
func (s *Sets) label(name identity.ID, of *subject, count bool) identity.ID {
	values, found := s.options.Names.Registry().Values(name)
	if !found {
		panic("owner: a name that was released")
	}
	values = slices.Clone(values)
	waits := false
	for i, find := range s.sources {
		value := find(of)
		if value == unknown && count {
			s.unknown[i].Add(1)
		}
		waits = waits || value == unknown && s.options.Pod != nil && of.group != nil && of.group.pod != "" && s.ofPod[i]
		values = append(values, value)
	}
	partial := of.owner != nil && !of.owner.Complete
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, found := s.registry.Find(values...); found {
		known := s.sets[id]
		known.partial, known.waits, known.idle = known.partial && partial, known.waits || waits, 0
		return id
	}
	if len(s.sets) >= s.options.Max {
		s.overflow.Add(1)
		for i := len(values) - len(s.sources); i < len(values); i++ {
			values[i] = other
		}
		waits = false
	}
	id := s.registry.Intern(values...)
	if s.sets[id] == nil {
		s.sets[id] = &set{name: name, partial: partial, waits: waits}
	}
	return id
}

// Configured reports whether the name of an identity is configured.
func (s *Sets) Configured(id identity.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.sets[id]
	return found != nil && s.options.Names.Configured(found.name)
}

// Keeps reports whether a connection keeps its identity when addresses of host names change: it has
// the name of an endpoint.
func (s *Sets) Keeps(id identity.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.sets[id]
	return found != nil && s.options.Names.Keeps(found.name)
}

// Retired returns the identities whose name is not configured.
func (s *Sets) Retired() []identity.ID {
	return slices.DeleteFunc(s.registry.IDs(), s.Configured)
}

// Expired returns the identities that have had no connection for the time after which they are to be
// released, and at once those without series that only connections before their first call had, or before
// their pod was known. carried reports
// whether an identity has a connection, and recorded whether it has series.
func (s *Sets) Expired(now int64, carried, recorded func(identity.ID) bool) []identity.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var expired []identity.ID
	for id, set := range s.sets {
		switch {
		case carried(id):
			set.idle = 0
		case (set.partial || set.waits) && !recorded(id):
			expired = append(expired, id)
		case set.idle == 0:
			set.idle = now
		case now-set.idle >= int64(s.options.TTL):
			expired = append(expired, id)
		}
	}
	return expired
}

// Release releases an identity, under the conditions of identity.Registry, and its name if that is
// not configured and no other identity has it.
func (s *Sets) Release(id identity.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	released := s.sets[id]
	if released == nil {
		return
	}
	delete(s.sets, id)
	s.registry.Release(id)
	for _, rest := range s.sets {
		if rest.name == released.name {
			return
		}
	}
	s.options.Names.Release(released.name)
}

// ReleaseNames releases the names that are not configured and have no set.
func (s *Sets) ReleaseNames() {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := map[identity.ID]bool{}
	for _, set := range s.sets {
		used[set.name] = true
	}
	for _, name := range s.options.Names.Retired() {
		if !used[name] {
			s.options.Names.Release(name)
		}
	}
}

// Stats are the counters of Sets.
type Stats struct {
	Sets     int
	Overflow uint64            // connections that were labelled "other"
	Unknown  map[string]uint64 // connections with an "unknown" label, by label
}

// Stats returns the counters.
func (s *Sets) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{Sets: len(s.sets), Overflow: s.overflow.Load(), Unknown: map[string]uint64{}}
	for i, label := range s.options.Labels {
		stats.Unknown[label] = s.unknown[i].Load()
	}
	return stats
}
