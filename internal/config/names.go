package config

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Names tells the logical name of a connection.
// Resolve and the ports may be asked by any goroutine while Apply and Refresh replace what they answer from.
type Names struct {
	registry *Registry
	current  atomic.Pointer[table]
	version  atomic.Uint64

	mu       sync.Mutex // guards what follows, never held during a lookup
	config   *Config
	hosts    hosts
	failures map[string]uint64 // failed lookups by host name, of earlier configurations too
}

// NewNames returns the names of a configuration, its host names resolved as far as they can be within the time of one lookup.
func NewNames(ctx context.Context, c *Config, resolver Resolver, logger *slog.Logger) *Names {
	n := &Names{registry: NewRegistry(), failures: map[string]uint64{}, hosts: hosts{resolver: resolver, logger: logger}}
	n.Apply(ctx, c)
	return n
}

// Apply replaces the configuration. Host names that were known before keep their addresses;
// new ones are resolved first, so that no connection is named by a configuration that is only half known.
func (n *Names) Apply(ctx context.Context, c *Config) {
	answers := lookup(ctx, n.hosts.resolver, n.unknown(c.hostNames()))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.config = c
	n.hosts.keep(c.hostNames())
	n.learn(answers)
}

// unknown returns those of the host names that were not there before.
func (n *Names) unknown(names []string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(names))), func(name string) bool { return n.hosts.known[name] != nil })
}

// Refresh resolves the host names of the configuration once.
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
		interval := n.config.ResolveInterval
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
	next := newTable(n.config, n.registry, n.hosts.addresses)
	if last := n.current.Swap(next); !next.equal(last) {
		n.version.Add(1)
	}
}

// Version changes whenever a connection may have got another name.
func (n *Names) Version() uint64 { return n.version.Load() }

// Resolve returns the name of a connection that is observed at the end that role says; false if it is not to be counted there.
func (n *Names) Resolve(role event.Role, e *event.Endpoints) (correlate.NameID, bool) {
	address := e.RemoteAddrPort()
	if role == event.Server {
		address = e.LocalAddrPort()
	}
	return n.current.Load().resolve(role, address)
}

// Configured says whether the configuration can give that name; one of an earlier configuration it may not.
func (n *Names) Configured(id correlate.NameID) bool { return n.current.Load().names[id] }

// Registry holds the integers of the names, of earlier configurations too.
func (n *Names) Registry() *Registry { return n.registry }

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
func (c *Config) hostNames() []string {
	var names []string
	for _, endpoint := range c.Endpoints {
		for _, address := range endpoint.Addresses {
			if address.Host != "" {
				names = append(names, address.Host)
			}
		}
	}
	return names
}

// LogicalNames returns the distinct names that the configuration can give, the default one first.
func (c *Config) LogicalNames() []string {
	registry := NewRegistry()
	registry.Intern(c.DefaultName)
	newTable(c, registry, func(string) []netip.Addr { return nil })
	return registry.Names()
}
