package naming

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// table is an immutable index from addresses to identities, with one side per role.
type table struct {
	sides       [2]side // by event.Role
	fallback    [2]map[uint16]bool
	defaultName identity.ID
	names       map[identity.ID]bool // all that resolve can return
}

// side indexes the endpoints of one role. Fields are in order of precedence.
type side struct {
	exact    map[netip.AddrPort]identity.ID // configured as addresses
	resolved map[netip.AddrPort]identity.ID // resolved from host names
	networks map[uint16][]network           // by port, longest prefix first
	any      map[uint16]identity.ID
	ports    map[uint16]bool
	paths    map[uint32]path // by index
}

// path is the path of a Unix socket.
type path struct {
	text string
	name identity.ID
}

type network struct {
	prefix netip.Prefix
	name   identity.ID
}

// newTable builds the table of rules. hosts returns the addresses of a host name, and indexOf the
// index of a path.
func newTable(rules *Rules, registry *identity.Registry, hosts func(string) []netip.Addr, indexOf func(string) uint32) *table {
	t := &table{defaultName: registry.Intern(rules.DefaultName), names: map[identity.ID]bool{}}
	t.names[t.defaultName] = true
	for role := range t.sides {
		t.sides[role] = side{
			exact:    map[netip.AddrPort]identity.ID{},
			resolved: map[netip.AddrPort]identity.ID{},
			networks: map[uint16][]network{},
			any:      map[uint16]identity.ID{},
			ports:    map[uint16]bool{},
			paths:    map[uint32]path{},
		}
	}
	for _, endpoint := range rules.Endpoints {
		name := registry.Intern(endpoint.Name)
		t.names[name] = true
		for _, address := range endpoint.Addresses {
			if address.Path != "" {
				t.sides[endpoint.Role].paths[indexOf(address.Path)] = path{address.Path, name}
				continue
			}
			t.sides[endpoint.Role].add(address, name)
		}
	}
	t.addHosts(rules, registry, hosts)
	t.addFallbacks(rules)
	return t
}

func (s *side) add(a address.Address, name identity.ID) {
	s.ports[a.Port] = true
	switch {
	case a.Host != "":
	case !a.Prefix.IsValid():
		s.any[a.Port] = name
	case a.Prefix.IsSingleIP():
		s.exact[netip.AddrPortFrom(a.Prefix.Addr(), a.Port)] = name
	default:
		networks := append(s.networks[a.Port], network{a.Prefix, name})
		slices.SortStableFunc(networks, func(a, b network) int { return b.prefix.Bits() - a.prefix.Bits() })
		s.networks[a.Port] = networks
	}
}

// addHosts adds the addresses of host names. If several names resolve to one address, the first
// endpoint of either role gets it, so that it is counted at one end.
func (t *table) addHosts(rules *Rules, registry *identity.Registry, hosts func(string) []netip.Addr) {
	taken := map[netip.AddrPort]bool{}
	for _, endpoint := range rules.Endpoints {
		for _, address := range endpoint.Addresses {
			if address.Host == "" {
				continue
			}
			for _, addr := range hosts(address.Host) {
				if key := netip.AddrPortFrom(addr, address.Port); !taken[key] {
					taken[key] = true
					t.sides[endpoint.Role].resolved[key] = registry.Intern(endpoint.Name)
				}
			}
		}
	}
}

// addFallbacks selects, per port, the end at which traffic that matches no endpoint counts under
// the default name: the client end if that is observed, otherwise the server end. A node with both
// ends counts the traffic once.
func (t *table) addFallbacks(rules *Rules) {
	client, server := &t.sides[event.Client], &t.sides[event.Server]
	t.fallback = [2]map[uint16]bool{{}, {}}
	for port := range client.ports {
		t.fallback[event.Client][port] = true
	}
	for _, port := range rules.Ports {
		t.fallback[event.Client][port] = true
	}
	for port := range server.ports {
		t.fallback[event.Server][port] = !t.fallback[event.Client][port]
	}
	// If a server endpoint matches every address, no traffic is left for the client end.
	for port := range server.any {
		if !client.ports[port] {
			delete(t.fallback[event.Client], port)
		}
	}
}

// resolve looks up the address of the server: remote for clients, local for servers. If endpoints
// of both roles match, the more specific one decides, so that the connection is counted at one end.
func (t *table) resolve(role event.Role, address netip.AddrPort) (identity.ID, bool) {
	id, rank := t.sides[role].find(address)
	_, other := t.sides[1-role].find(address)
	switch {
	case rank > other:
		return id, true
	case other == unmatched && t.fallback[role][address.Port()]:
		return t.defaultName, true
	}
	return 0, false // equal ranks, unless both are unmatched, are rejected by the validation of the configuration
}

// resolvePath looks up the path of a Unix socket. Connections over a path that is not configured do
// not count under the default name.
func (t *table) resolvePath(role event.Role, index uint32) (identity.ID, bool) {
	path, found := t.sides[role].paths[index]
	return path.name, found
}

// paths returns the observed paths, in the order of their indices.
func (t *table) paths() []event.Path {
	var all []event.Path
	for role := range t.sides {
		for index, path := range t.sides[role].paths {
			all = append(all, event.Path{Text: path.text, Index: index, Role: event.Role(role)})
		}
	}
	slices.SortFunc(all, func(a, b event.Path) int { return cmp.Compare(a.Index, b.Index) })
	return all
}

// Ranks of a match, by specificity. A network ranks by its prefix length, which is less than the
// rank of a host.
const (
	unmatched   = -1
	rankAny     = 0
	rankNetwork = 1
	rankHost    = 1000
	rankExact   = 1001
)

// find returns the most specific match and its rank.
func (s *side) find(address netip.AddrPort) (id identity.ID, rank int) {
	if id, found := s.exact[address]; found {
		return id, rankExact
	}
	if id, found := s.resolved[address]; found {
		return id, rankHost
	}
	for _, network := range s.networks[address.Port()] {
		if network.prefix.Contains(address.Addr()) {
			return network.name, rankNetwork + network.prefix.Bits()
		}
	}
	if id, found := s.any[address.Port()]; found {
		return id, rankAny
	}
	return 0, unmatched
}

// ports returns the observed ports of a role, ascending.
func (t *table) ports(role event.Role) []uint16 {
	ports := map[uint16]bool{}
	maps.Copy(ports, t.sides[role].ports)
	for port, observed := range t.fallback[role] {
		if observed {
			ports[port] = true
		}
	}
	return slices.Sorted(maps.Keys(ports))
}

// equal reports whether two tables return the same identities.
func (t *table) equal(other *table) bool {
	if other == nil || t.defaultName != other.defaultName {
		return false
	}
	for role := range t.sides {
		a, b := &t.sides[role], &other.sides[role]
		if !maps.Equal(a.exact, b.exact) || !maps.Equal(a.resolved, b.resolved) || !maps.Equal(a.any, b.any) || !maps.Equal(t.fallback[role], other.fallback[role]) ||
			!maps.Equal(a.paths, b.paths) ||
			!maps.EqualFunc(a.networks, b.networks, slices.Equal) {
			return false
		}
	}
	return true
}
