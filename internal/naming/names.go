package naming

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Rules are what connections are named by. They are not changed once they are in use.
type Rules struct {
	Endpoints       []Endpoint
	Ports           []uint16 // observed for clients besides those of the endpoints
	DefaultName     string   // of connections on an observed port that no endpoint matches
	ResolveInterval time.Duration
}

// Endpoint gives a logical name to addresses, at the end of the connection that Role says.
type Endpoint struct {
	Name      string
	Addresses []address.Address
	Role      event.Role
}

// Names finds the identity of a connection: today its logical name.
// Any goroutine may call Resolve and the ports while Apply and Refresh replace the table that they read.
type Names struct {
	registry *identity.Registry
	current  atomic.Pointer[table]
	version  atomic.Uint64

	mu       sync.Mutex // guards what follows, never held during a lookup
	rules    *Rules
	hosts    hosts
	failures map[string]uint64 // failed lookups by host name, of earlier configurations too
}

// New returns the names by rules, their host names resolved as far as they can be within the time of one lookup.
func New(ctx context.Context, rules *Rules, resolver Resolver, logger *slog.Logger) *Names {
	n := &Names{registry: identity.NewRegistry("name"), failures: map[string]uint64{}, hosts: hosts{resolver: resolver, logger: logger}}
	n.Apply(ctx, rules)
	return n
}

// Apply replaces the rules. Host names that were known before keep their addresses;
// new ones are resolved first, so that no connection is named by rules that are only half known.
func (n *Names) Apply(ctx context.Context, rules *Rules) {
	answers := lookup(ctx, n.hosts.resolver, n.unknown(rules.hostNames()))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = rules
	n.hosts.keep(rules.hostNames())
	n.learn(answers)
}

// unknown returns those of the host names that were not there before.
func (n *Names) unknown(names []string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(names))), func(name string) bool { return n.hosts.known[name] != nil })
}

// Refresh resolves the host names of the rules once.
func (n *Names) Refresh(ctx context.Context) {
	n.mu.Lock()
	names := n.hosts.names()
	n.mu.Unlock()
	if len(names) == 0 {
		return
	}
	answers := lookup(ctx, n.hosts.resolver, names)
	if ctx.Err() != nil { // the process stops: nothing was learned of the names
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.learn(answers)
}

// Run resolves the host names at the configured interval until ctx ends.
func (n *Names) Run(ctx context.Context) {
	for {
		n.mu.Lock()
		interval := n.rules.ResolveInterval
		n.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
			n.Refresh(ctx)
		}
	}
}

// learn takes in answers, and publishes a new table, with a new version if it answers otherwise than the last one.
func (n *Names) learn(answers map[string]answer) {
	for _, host := range n.hosts.learn(answers) {
		n.failures[host]++
	}
	next := newTable(n.rules, n.registry, n.hosts.addresses)
	if last := n.current.Swap(next); !next.equal(last) {
		n.version.Add(1)
	}
}

// Version changes whenever a connection may have got another name.
func (n *Names) Version() uint64 { return n.version.Load() }

// Resolve returns the identity of a connection that is observed at the end that role says; false if it is not to be counted there.
// Only the goroutine that calls Release may keep the identity: for any other it may end at once.
func (n *Names) Resolve(role event.Role, e *event.Endpoints) (identity.ID, bool) {
	server := e.RemoteAddrPort()
	if role == event.Server {
		server = e.LocalAddrPort()
	}
	return n.current.Load().resolve(role, server)
}

// Configured reports whether Resolve can return an identity; one of earlier rules it may not.
func (n *Names) Configured(id identity.ID) bool { return n.current.Load().names[id] }

// Registry holds the identities, those of earlier rules too.
func (n *Names) Registry() *identity.Registry { return n.registry }

// Retired returns the identities that Resolve does not return any more.
func (n *Names) Retired() []identity.ID {
	current := n.current.Load()
	return slices.DeleteFunc(n.registry.IDs(), func(id identity.ID) bool { return current.names[id] })
}

// Release ends an identity, unless Resolve can return it again. It is for the goroutine that keeps what Resolve returns, when it keeps nothing of
// the identity any more: its slot may go to another.
func (n *Names) Release(id identity.ID) {
	n.mu.Lock() // a reload must not give the identity again meanwhile
	defer n.mu.Unlock()
	if !n.Configured(id) {
		n.registry.Release(id)
	}
}

// ClientPorts returns the remote ports of the connections that are observed at the client's end, ascending.
func (n *Names) ClientPorts() []uint16 { return n.current.Load().ports(event.Client) }

// ServerPorts returns the local ports of the connections that are observed at the server's end, ascending.
func (n *Names) ServerPorts() []uint16 { return n.current.Load().ports(event.Server) }

// LookupFailures returns the number of lookups that failed so far, by host name.
func (n *Names) LookupFailures() map[string]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.failures)
}

// hostNames returns the host names of all endpoints.
func (r *Rules) hostNames() []string {
	var names []string
	for _, endpoint := range r.Endpoints {
		for _, a := range endpoint.Addresses {
			if a.Host != "" {
				names = append(names, a.Host)
			}
		}
	}
	return names
}
