package naming

import (
	"fmt"
	"net/netip"
	"slices"

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
	OfSRV       Reason = "an address of these SRV records"
	OfService   Reason = "an address of this Service, or of a pod behind it"
	InNetwork   Reason = "the longest network that contains it"
	AnyAddress  Reason = "any address with this port"
	OtherwiseBy Reason = "no endpoint has it, but its port is observed"
	OtherEnd    Reason = "it counts at the other end"
	NotObserved Reason = "its port is not observed at this end"
	NoSuchPath  Reason = "no endpoint has it at this end"
	Ignored     Reason = "role ignore: " // and one of the others
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
	own, other, ignored := t.matches(role, server)
	switch _, counted := t.resolve(role, server); {
	case counted && own.rank != unmatched:
		return n.matched(own, Match{Counted: true, Name: n.rules.Endpoints[own.endpoint].Name})
	case counted:
		return Match{Counted: true, Name: n.rules.DefaultName, Reason: OtherwiseBy, Path: "default_name"}
	case ignored.over(own) && ignored.over(other):
		m := n.matched(ignored, Match{})
		m.Reason = Ignored + m.Reason
		return m
	case own.rank != unmatched || other.rank != unmatched || t.fallback[1-role].has(server.Port()):
		return Match{Reason: OtherEnd}
	}
	return Match{Reason: NotObserved}
}

// matched adds the rule of a match, and the reason.
func (n *Names) matched(m match, to Match) Match {
	to.Rule = n.rules.Endpoints[m.endpoint].Addresses[m.address]
	to.Path, to.Reason = pathOf(m.endpoint, m.address), reasonOf(m.rank)
	switch {
	case to.Rule.Service != "":
		to.Reason = OfService
	case to.Rule.SRV != "":
		to.Reason = OfSRV
	}
	return to
}

// ExplainPath returns how Resolve names the connections over a Unix socket, observed in a role.
func (n *Names) ExplainPath(role event.Role, path string) Match {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, endpoint := range n.rules.Endpoints {
		for j, a := range endpoint.Addresses {
			if endpoint.Role == address.Role(role) && a.Path == path {
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

func reasonOf(rank int) Reason {
	switch rank >> 16 {
	case rankExact:
		return OwnAddress
	case rankHost, rankRetained:
		return OfHost
	case rankAny:
		return AnyAddress
	}
	return InNetwork
}

// Host returns the addresses of a name of the rules (address.Address.Lookup), ascending, and the error
// of the last lookup. The port is 0 for a host name.
func (n *Names) Host(name string) ([]netip.AddrPort, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.host(name)
}

// host is Host for a caller that holds mu.
func (n *Names) host(name string) ([]netip.AddrPort, error) {
	known := n.hosts.known[name]
	if known == nil {
		return nil, nil
	}
	var addresses []netip.AddrPort
	for _, a := range n.hosts.addresses(name) {
		addresses = append(addresses, a.AddrPort)
	}
	return addresses, known.failure
}

// DefaultName returns the name of connections on observed ports that no endpoint has; "": they do not
// count.
func (n *Names) DefaultName() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rules.DefaultName
}

// Described is an address of the rules, and what it stands for by now.
type Described struct {
	Name     string // of its endpoint
	Role     address.Role
	Address  address.Address
	Resolved []netip.AddrPort // of a host name, where the port is 0, of SRV records or of a Service; ascending
	Failure  error            // of the last lookup
}

// Describe returns the addresses of the rules in their order. The caller owns the slices.
func (n *Names) Describe() []Described {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []Described
	for _, endpoint := range n.rules.Endpoints {
		for _, a := range endpoint.Addresses {
			d := Described{Name: endpoint.Name, Role: endpoint.Role, Address: a}
			switch {
			case a.Lookup() != "":
				d.Resolved, d.Failure = n.host(a.Lookup())
			case a.Service != "":
				d.Resolved = slices.SortedFunc(slices.Values(n.serviceAddresses(a.Service, a.Ports.First)), netip.AddrPort.Compare)
			}
			all = append(all, d)
		}
	}
	return all
}
