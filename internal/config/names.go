package config

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/correlate"
)

// Names tells the logical name of a connection.
// Resolve and the ports may be asked by any goroutine while Apply and Refresh replace what they answer from.
type Names struct {
	registry *Registry
	current  atomic.Pointer[table]
	version  atomic.Uint64

	failures   atomic.Uint64
	unresolved atomic.Int64

	mu     sync.Mutex // guards what follows, never held during a lookup
	config *Config
	hosts  hosts
}

// NewNames returns the names of a configuration. Host names have no addresses before the first Refresh.
func NewNames(c *Config, resolver Resolver, logger *slog.Logger) *Names {
	n := &Names{registry: NewRegistry(), hosts: hosts{resolver: resolver, logger: logger}}
	n.Apply(c)
	return n
}

// Apply replaces the configuration. Host names that were known before keep their addresses.
func (n *Names) Apply(c *Config) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.config = c
	n.hosts.keep(c.hostNames())
	n.rebuild()
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
	n.failures.Add(uint64(n.hosts.learn(answers)))
	n.rebuild()
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

// rebuild publishes a new table, and a new version if it answers otherwise than the last one.
func (n *Names) rebuild() {
	next := newTable(n.config, n.registry, n.hosts.addresses)
	n.unresolved.Store(int64(n.hosts.unresolved()))
	if last := n.current.Swap(next); !next.equal(last) {
		n.version.Add(1)
	}
}

// Version changes whenever a connection may have got another name.
func (n *Names) Version() uint64 { return n.version.Load() }

// Resolve returns the name of a connection that is observed at the end that role says; false if it is not to be counted there.
func (n *Names) Resolve(role capture.Role, e *capture.Endpoints) (correlate.NameID, bool) {
	address := e.RemoteAddrPort()
	if role == capture.Server {
		address = e.LocalAddrPort()
	}
	return n.current.Load().resolve(role, address)
}

// Registry holds the integers of the names, of earlier configurations too.
func (n *Names) Registry() *Registry { return n.registry }

// ClientPorts returns the remote ports of the connections that are observed at the client's end, ascending.
func (n *Names) ClientPorts() []uint16 { return n.current.Load().ports(capture.Client) }

// ServerPorts returns the local ports of the connections that are observed at the server's end, ascending.
func (n *Names) ServerPorts() []uint16 { return n.current.Load().ports(capture.Server) }

// Unresolved returns the number of host names whose last lookup failed.
func (n *Names) Unresolved() int { return int(n.unresolved.Load()) }

// LookupFailures returns the number of lookups that failed so far.
func (n *Names) LookupFailures() uint64 { return n.failures.Load() }

// hostNames returns the host names of all endpoints.
func (c *Config) hostNames() []string {
	var names []string
	c.eachAddress(func(a Address) {
		if a.Host != "" {
			names = append(names, a.Host)
		}
	})
	return names
}

func (c *Config) eachAddress(visit func(Address)) {
	for _, endpoint := range c.Endpoints {
		for _, address := range endpoint.Addresses {
			visit(address)
		}
	}
}

// LogicalNames returns the distinct names that the configuration can give, the default one first.
func (c *Config) LogicalNames() []string {
	registry := NewRegistry()
	registry.Intern(c.DefaultName)
	newTable(c, registry, func(string) []netip.Addr { return nil })
	return registry.Names()
}
