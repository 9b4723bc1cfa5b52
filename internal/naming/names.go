package naming

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Rules map connections to names. They must not change while they are in use.
type Rules struct {
	Endpoints       []Endpoint
	Ports           []uint16 // client ports to observe in addition to those of the endpoints
	DefaultName     string   // for connections on an observed port that match no endpoint; "": they do not count
	ResolveInterval time.Duration
}

// Endpoint gives a logical name to addresses. Role selects the end of the connection that is
// observed, if any.
type Endpoint struct {
	Name      string
	Addresses []address.Address
	Role      address.Role
}

// Names maps connections to identities. Any goroutine may call Resolve and the port methods while
// Apply or Refresh replaces the table.
type Names struct {
	registry *identity.Registry
	current  atomic.Pointer[table]
	version  atomic.Uint64
	reloads  atomic.Uint64
	seen     chan netip.AddrPort // servers of connections that no endpoint claims
	changed  chan struct{}       // the lookups that are due may be others
	moved    chan struct{}       // the observed ports may be others

	mu       sync.Mutex // guards the fields below; not held during DNS lookups
	rules    *Rules
	hosts    hosts
	paths    map[string]uint32 // the index of each path of a Unix socket, including those of earlier rules
	failures map[string]uint64 // failed lookups by host name, including those of earlier rules
	asks     asks
	services map[string]map[uint16][]netip.AddrPort // by name and port
	faults   map[string]uint64                      // failed watches by Service, including those of earlier rules
}

// New returns Names for rules. It waits for the host names to resolve, at most for the timeout of
// one lookup.
func New(ctx context.Context, rules *Rules, resolver Resolver, logger *slog.Logger) *Names {
	n := &Names{
		registry: identity.NewRegistry("name"),
		seen:     make(chan netip.AddrPort, maxSeen),
		changed:  make(chan struct{}, 1),
		moved:    make(chan struct{}, 1),
		failures: map[string]uint64{},
		paths:    map[string]uint32{},
		services: map[string]map[uint16][]netip.AddrPort{},
		faults:   map[string]uint64{},
		hosts:    hosts{resolver: resolver, logger: logger, now: time.Now},
	}
	n.Apply(ctx, rules)
	return n
}

// Apply replaces the rules. Host names that are already in use keep their addresses. New host names
// are resolved first, so that no connection is named by incomplete rules.
func (n *Names) Apply(ctx context.Context, rules *Rules) {
	answers := lookupAll(ctx, n.hosts.resolver, n.newHosts(rules.hostNames()))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = rules
	n.hosts.keep(rules.hostNames())
	n.keepServices()
	n.reloads.Add(1)
	n.update(answers)
	n.wake()
}

// newHosts returns the host names that are not resolved yet, without duplicates.
func (n *Names) newHosts(names []string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(names))), func(name string) bool { return n.hosts.known[name] != nil })
}

// Refresh resolves all host names once.
func (n *Names) Refresh(ctx context.Context) {
	n.mu.Lock()
	names := n.hosts.names()
	n.mu.Unlock()
	answers := lookupAll(ctx, n.hosts.resolver, names)
	if ctx.Err() != nil { // shutting down: the failures are not those of the resolver
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.update(answers)
}

// update stores answers and publishes a new table. It increments the version if the table differs
// from the previous one.
func (n *Names) update(answers map[string]answer) {
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		n.store(name, answers[name])
	}
	next := newTable(n.rules, n.registry, found{n.hosts.addresses, n.serviceAddresses, n.indexOf})
	if last := n.current.Swap(next); !next.equal(last) {
		n.version.Add(1)
	}
}

// store stores an answer, if its name is still in the rules.
func (n *Names) store(name string, got answer) {
	if n.hosts.known[name] != nil && !n.hosts.update(name, got, n.rules.ResolveInterval) {
		n.failures[name]++
	}
}

// indexOf returns the index of a path. It is never given to another path, because connections over
// a path of earlier rules may live on.
func (n *Names) indexOf(path string) uint32 {
	index, known := n.paths[path]
	if !known {
		index = uint32(len(n.paths))
		n.paths[path] = index
	}
	return index
}

// Version is the version of what Resolve returns.
type Version struct {
	Table uint64 // changes whenever Resolve may return another identity for a connection
	Rules uint64 // changes with the rules
}

// Version returns the current version. Connections keep their names while Rules stays, unless Keeps
// says otherwise.
func (n *Names) Version() Version {
	table := n.version.Load() // first: new rules raise Rules before it
	return Version{table, n.reloads.Load()}
}

// Keeps reports whether a connection with an identity keeps it when addresses of host names change:
// it has the name of an endpoint. The address of the server may have got another name meanwhile.
func (n *Names) Keeps(id identity.ID) bool {
	t := n.current.Load()
	return t.names[id] && !(t.hasDefault && id == t.defaultName)
}

// Resolve returns the identity of a connection observed at one end, or false if the connection is
// not counted at that end. Only the goroutine that calls Release may store the identity: for others
// it can be released at any time.
func (n *Names) Resolve(role event.Role, e *event.Endpoints) (identity.ID, bool) {
	if path, ok := e.Path(role); ok {
		return n.current.Load().resolvePath(role, path)
	}
	server := e.RemoteAddrPort()
	if role == event.Server {
		server = e.LocalAddrPort()
	}
	t := n.current.Load()
	if t.unclaimed(role, server) {
		select {
		case n.seen <- server:
		default: // others are asked for already; the next connection is another chance
		}
	}
	return t.resolve(role, server)
}

// Unnamed is Resolve for a connection to an address that an unprivileged user may have chosen: it has
// the default name if its port is observed, unless the address is ignored. One over a Unix socket is
// not counted.
func (n *Names) Unnamed(role event.Role, e *event.Endpoints) (identity.ID, bool) {
	if _, ok := e.Path(role); ok {
		return 0, false
	}
	server := e.RemoteAddrPort()
	if role == event.Server {
		server = e.LocalAddrPort()
	}
	return n.current.Load().resolveUnnamed(role, server)
}

// Counts reports whether a connection is counted at one end.
func (n *Names) Counts(role event.Role, e *event.Endpoints) bool {
	_, found := n.Resolve(role, e)
	return found
}

// Configured reports whether the current rules can return an identity.
func (n *Names) Configured(id identity.ID) bool { return n.current.Load().names[id] }

// HasName reports whether a connection observed at one end gets the name of an endpoint, and not the
// default one.
func (n *Names) HasName(role event.Role, e *event.Endpoints) bool {
	id, found := n.Resolve(role, e)
	return found && n.Keeps(id)
}

// SharesDefault reports whether a connection observed at one end has the default name because an
// endpoint has that name, too. Keeps does not tell it from one that no endpoint has. Over a Unix
// socket, nothing else has it.
func (n *Names) SharesDefault(role event.Role, e *event.Endpoints) bool {
	if _, ok := e.Path(role); ok {
		return true
	}
	t := n.current.Load()
	server := e.RemoteAddrPort()
	if role == event.Server {
		server = e.LocalAddrPort()
	}
	own, other, ignored := t.matches(role, server)
	return own.over(other) && own.over(ignored) && t.hasDefault && own.name == t.defaultName
}

// Registry returns the registry of all identities, including those of earlier rules.
func (n *Names) Registry() *identity.Registry { return n.registry }

// Retired returns the identities that the current rules cannot return.
func (n *Names) Retired() []identity.ID {
	current := n.current.Load()
	return slices.DeleteFunc(n.registry.IDs(), func(id identity.ID) bool { return current.names[id] })
}

// Release releases an identity, unless the current rules can return it. Only the goroutine that
// stores identities may call it, and only after it has dropped every copy: the slot can then get
// another identity.
func (n *Names) Release(id identity.ID) {
	n.mu.Lock() // so that a reload cannot return the identity meanwhile
	defer n.mu.Unlock()
	if !n.Configured(id) {
		n.registry.Release(id)
	}
}

// ClientPorts returns the observed remote ports of connections counted at the client end,
// ascending.
func (n *Names) ClientPorts() []uint16 { return n.current.Load().ports(event.Client) }

// ServerPorts returns the observed local ports of connections counted at the server end, ascending.
func (n *Names) ServerPorts() []uint16 { return n.current.Load().ports(event.Server) }

// Moved receives when the observed ports have changed other than by Apply: those of Services and of
// SRV records are found.
func (n *Names) Moved() <-chan struct{} { return n.moved }

// move publishes a new table outside of Apply. The caller must hold mu.
func (n *Names) move() {
	before := n.current.Load()
	n.update(nil)
	if !n.current.Load().samePorts(before) {
		select {
		case n.moved <- struct{}{}:
		default: // they are to be read anyway
		}
	}
}

// Paths returns the observed paths of Unix sockets, in the order of their indices.
func (n *Names) Paths() []event.Path { return n.current.Load().paths() }

// LookupFailures returns the number of failed lookups by host name. The caller owns the map.
func (n *Names) LookupFailures() map[string]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.failures)
}

// hostNames returns the names of all endpoints that DNS is asked for.
func (r *Rules) hostNames() []string {
	var names []string
	for _, endpoint := range r.Endpoints {
		for _, a := range endpoint.Addresses {
			if name := a.Lookup(); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}
