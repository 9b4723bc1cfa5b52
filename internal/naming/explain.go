package naming

import (
	"fmt"
	"net/netip"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Reason says why an address has a name at one end of its connections, or why it is not counted
// there.
type Reason string

// The reasons.
const (
	OwnAddress  Reason = "the address itself"
	OfHost      Reason = "an address of this host name"
	InNetwork   Reason = "the longest network that contains it"
	AnyAddress  Reason = "any address with this port"
	OtherwiseBy Reason = "no endpoint has it, but its port is observed"
	OtherEnd    Reason = "it counts at the other end"
	NotObserved Reason = "its port is not observed at this end"
	NoSuchPath  Reason = "no endpoint has it at this end"
)

// Match is the answer to which name an address has at one end.
type Match struct {
	Name    string // "" if it is not counted
	Reason  Reason
	Rule    address.Address // the address in the configuration that decides; zero for the default name
	Path    string          // the key of Rule, for example endpoints[0].addresses[1]
	Counted bool
}

// Explain returns how Resolve names the connections to a server's address, observed in a role.
func (n *Names) Explain(role event.Role, server netip.AddrPort) Match {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.current.Load()
	id, found := t.resolve(role, server)
	if !found {
		_, other := t.resolve(1-role, server)
		if _, rank := t.sides[role].find(server); rank != unmatched || other {
			return Match{Reason: OtherEnd}
		}
		return Match{Reason: NotObserved}
	}
	match := Match{Counted: true, Reason: OtherwiseBy, Path: "default_name"}
	if values, known := n.registry.Values(id); known {
		match.Name = values[0]
	}
	_, rank := t.sides[role].find(server)
	for i, endpoint := range n.rules.Endpoints {
		for j, a := range endpoint.Addresses {
			if endpoint.Role == role && endpoint.Name == match.Name && n.ranks(a, server) == rank {
				match.Rule, match.Path, match.Reason = a, pathOf(i, j), reasonOf(rank)
				return match
			}
		}
	}
	return match
}

// ExplainPath returns how Resolve names the connections over a Unix socket, observed in a role.
func (n *Names) ExplainPath(role event.Role, path string) Match {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, endpoint := range n.rules.Endpoints {
		for j, a := range endpoint.Addresses {
			if endpoint.Role == role && a.Path == path {
				return Match{Name: endpoint.Name, Reason: OwnAddress, Rule: a, Path: pathOf(i, j), Counted: true}
			}
		}
	}
	return Match{Reason: NoSuchPath}
}

// pathOf returns the key of an address.
func pathOf(endpoint, index int) string {
	return fmt.Sprintf("endpoints[%d].addresses[%d]", endpoint, index)
}

// ranks returns the rank with which an address of the configuration matches one of a server. The
// caller must hold mu.
func (n *Names) ranks(a address.Address, server netip.AddrPort) int {
	switch {
	case a.Port != server.Port():
		return unmatched
	case a.Host != "":
		for _, resolved := range n.hosts.addresses(a.Host) {
			if resolved == server.Addr() {
				return rankHost
			}
		}
		return unmatched
	case !a.Prefix.IsValid():
		return rankAny
	case !a.Prefix.Contains(server.Addr()):
		return unmatched
	case a.Prefix.IsSingleIP():
		return rankExact
	}
	return rankNetwork + a.Prefix.Bits()
}

func reasonOf(rank int) Reason {
	switch rank {
	case rankExact:
		return OwnAddress
	case rankHost:
		return OfHost
	case rankAny:
		return AnyAddress
	}
	return InNetwork
}

// Host returns the addresses of a host name of the rules, ascending, and the error of the last
// lookup.
func (n *Names) Host(name string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := n.hosts.known[name]
	if known == nil {
		return nil, nil
	}
	return n.hosts.addresses(name), known.failure
}
