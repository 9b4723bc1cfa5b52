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
	sides       [3]side    // by address.Role
	fallback    [2]portSet // by event.Role: where traffic that matches no endpoint has the default name
	defaultName identity.ID
	hasDefault  bool
	names       map[identity.ID]bool // all that resolve can return
}

// side indexes the endpoints of one role.
type side struct {
	written  index // as in the configuration: addresses, networks, any address
	resolved index // found for host names, SRV records and Services
	retained index // found for host names and SRV records earlier
	lengths  []int // of the prefixes of networks, the longest first
	any      portSet
	ports    portSet
	hosts    portSet         // those of host names and SRV records
	paths    map[uint32]path // by index
}

// path is the path of a Unix socket.
type path struct {
	text string
	name identity.ID
}

// found is what is known of the names in rules.
type found struct {
	host    func(name string) []hostAddress                 // the addresses of a name that DNS is asked for
	service func(name string, port uint16) []netip.AddrPort // those of a port of a Service
	indexOf func(path string) uint32
}

// newTable builds the table of rules.
func newTable(rules *Rules, registry *identity.Registry, known found) *table {
	t := &table{names: map[identity.ID]bool{}, hasDefault: rules.DefaultName != ""}
	if t.hasDefault {
		t.defaultName = registry.Intern(rules.DefaultName)
		t.names[t.defaultName] = true
	}
	for role := range t.sides {
		t.sides[role] = side{written: newIndex(), resolved: newIndex(), retained: newIndex(), paths: map[uint32]path{}}
	}
	for i, endpoint := range rules.Endpoints {
		s, r := &t.sides[endpoint.Role], rule{endpoint: i}
		if endpoint.Role != address.Ignore {
			r.name = registry.Intern(endpoint.Name)
			t.names[r.name] = true
		}
		for j, a := range endpoint.Addresses {
			r.address = j
			switch {
			case a.Path != "":
				s.paths[known.indexOf(a.Path)] = path{a.Path, r.name}
			case a.Host != "":
				s.hosts.add(a.Ports)
				s.ports.add(a.Ports)
				for _, of := range known.host(a.Lookup()) {
					s.addFound(of, a.Ports, r)
				}
			case a.SRV != "":
				for _, of := range known.host(a.Lookup()) {
					s.hosts.add(address.Port(of.Port()))
					s.addFound(of, address.Port(of.Port()), r)
				}
			case a.Service != "":
				s.addService(known.service(a.Service, a.Ports.First), r)
			default:
				s.add(a, r)
			}
		}
	}
	t.addFallbacks(rules)
	return t
}

func (s *side) add(a address.Address, r rule) {
	s.ports.add(a.Ports)
	s.written.add(a.Prefix, a.Ports, r)
	switch length := a.Prefix.Bits(); {
	case !a.Prefix.IsValid():
		s.any.add(a.Ports)
	case !a.Prefix.IsSingleIP() && !slices.Contains(s.lengths, length):
		s.lengths = append(s.lengths, length)
		slices.SortFunc(s.lengths, func(a, b int) int { return cmp.Compare(b, a) })
	}
}

// addFound adds an address of a host name or of SRV records. If several names resolve to one address,
// the one that stands first in the configuration gets it.
func (s *side) addFound(a hostAddress, ports address.Ports, r rule) {
	s.ports.add(ports)
	in := &s.resolved
	if a.retained {
		in = &s.retained
	}
	in.add(netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), ports, r)
}

// addService adds the addresses of a Service, each with a port of its own.
func (s *side) addService(found []netip.AddrPort, r rule) {
	for _, a := range found {
		ports := address.Port(a.Port())
		s.ports.add(ports)
		s.resolved.add(netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), ports, r)
	}
}

// addFallbacks selects, per port, the end at which traffic that matches no endpoint counts under
// the default name: the client end if that is observed, otherwise the server end. A node with both
// ends counts the traffic once.
func (t *table) addFallbacks(rules *Rules) {
	if !t.hasDefault {
		return
	}
	client, server, ignored := &t.sides[address.Client], &t.sides[address.Server], &t.sides[address.Ignore]
	atClient := client.ports
	for _, port := range rules.Ports {
		atClient.add(address.Port(port))
	}
	t.fallback[event.Server] = *server.ports.without(&atClient)
	// If other endpoints match every address, no traffic is left for the client end.
	t.fallback[event.Client] = *atClient.without(server.any.union(&ignored.any).without(&client.ports))
}

// match is a rule that matches an address.
type match struct {
	rule
	rank int // unmatched, or the greater the more specific
}

// over reports whether a match decides against another one.
func (m match) over(other match) bool {
	return m.rank > other.rank || m.rank == other.rank && m.rank != unmatched && m.before(other.rule)
}

// resolve looks up the address of the server: remote for clients, local for servers. If endpoints
// of several roles match, the most specific one decides, so that the connection is counted at one
// end, or at none.
func (t *table) resolve(role event.Role, server netip.AddrPort) (identity.ID, bool) {
	own, other, ignored := t.matches(role, server)
	switch {
	case own.over(other) && own.over(ignored):
		return own.name, true
	case other.rank == unmatched && ignored.rank == unmatched && t.fallback[role].has(server.Port()):
		return t.defaultName, true
	}
	return 0, false
}

// resolveUnnamed is resolve for an address that has no name of its own.
func (t *table) resolveUnnamed(role event.Role, server netip.AddrPort) (identity.ID, bool) {
	own, other, ignored := t.matches(role, server)
	if !t.fallback[role].has(server.Port()) || ignored.over(own) && ignored.over(other) {
		return 0, false
	}
	return t.defaultName, true
}

// matches returns the best rules for an address at one end, at the other end, and of role ignore.
func (t *table) matches(role event.Role, server netip.AddrPort) (own, other, ignored match) {
	return t.sides[role].find(server), t.sides[1-role].find(server), t.sides[address.Ignore].find(server)
}

// unclaimed reports whether no rule matches a server's address, and a host name could have it.
func (t *table) unclaimed(role event.Role, server netip.AddrPort) bool {
	if !t.sides[role].hosts.has(server.Port()) {
		return false
	}
	own, other, ignored := t.matches(role, server)
	return own.rank == unmatched && other.rank == unmatched && ignored.rank == unmatched
}

// awaited reports whether an address is unclaimed at either end.
func (t *table) awaited(server netip.AddrPort) bool {
	return t.unclaimed(event.Client, server) || t.unclaimed(event.Server, server)
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
	for _, role := range []event.Role{event.Client, event.Server} {
		for index, path := range t.sides[role].paths {
			all = append(all, event.Path{Text: path.text, Index: index, Role: role})
		}
	}
	slices.SortFunc(all, func(a, b event.Path) int { return cmp.Compare(a.Index, b.Index) })
	return all
}

// Ranks of a match, by specificity: first of the address, then of the range of ports. A network
// ranks by its prefix length, which is less than the rank of a host.
const (
	unmatched    = -1
	rankAny      = 0
	rankNetwork  = 1
	rankRetained = 1000
	rankHost     = 1001
	rankExact    = 1002
)

// rankOf combines the ranks of an address and of the width of a range of ports.
func rankOf(address, width int) int { return address<<16 | (1<<16 - 1 - width) }

// find returns the most specific match.
func (s *side) find(server netip.AddrPort) match {
	addr, port := server.Addr(), server.Port()
	if !s.ports.has(port) {
		return match{rank: unmatched}
	}
	alone := netip.PrefixFrom(addr, addr.BitLen())
	if r, width, found := s.written.find(alone, port); found {
		return match{r, rankOf(rankExact, width)}
	}
	if r, width, found := s.resolved.find(alone, port); found {
		return match{r, rankOf(rankHost, width)}
	}
	if r, width, found := s.retained.find(alone, port); found {
		return match{r, rankOf(rankRetained, width)}
	}
	for _, length := range s.lengths {
		network, err := addr.Prefix(length)
		if err != nil { // longer than an IPv4 address
			continue
		}
		if r, width, found := s.written.find(network, port); found {
			return match{r, rankOf(rankNetwork+length, width)}
		}
	}
	if r, width, found := s.written.find(netip.Prefix{}, port); found {
		return match{r, rankOf(rankAny, width)}
	}
	return match{rank: unmatched}
}

// ports returns the observed ports of a role, ascending.
func (t *table) ports(role event.Role) []uint16 {
	return t.sides[role].ports.union(&t.fallback[role]).list()
}

// equal reports whether two tables return the same identities.
func (t *table) equal(other *table) bool {
	if other == nil || t.defaultName != other.defaultName || t.hasDefault != other.hasDefault || t.fallback != other.fallback {
		return false
	}
	for role := range t.sides {
		if !t.sides[role].equal(&other.sides[role]) {
			return false
		}
	}
	return true
}

func (s *side) equal(other *side) bool {
	return s.ports == other.ports && maps.Equal(s.paths, other.paths) &&
		s.written.equal(&other.written) && s.resolved.equal(&other.resolved) && s.retained.equal(&other.retained)
}
