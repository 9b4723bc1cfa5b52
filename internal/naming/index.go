package naming

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// rule is an address of the configuration.
type rule struct {
	name              identity.ID // 0 for role ignore
	endpoint, address int         // its place in the configuration
}

// before reports whether a rule stands before another one in the configuration.
func (r rule) before(other rule) bool {
	return cmp.Or(cmp.Compare(r.endpoint, other.endpoint), cmp.Compare(r.address, other.address)) < 0
}

// index finds the rules of a network or an address by port. The zero prefix stands for any address.
type index struct {
	single map[place]rule            // of one port
	wide   map[netip.Prefix][]ranged // of several, the narrowest first
}

type place struct {
	prefix netip.Prefix
	port   uint16
}

type ranged struct {
	ports address.Ports
	rule  rule
}

func newIndex() index {
	return index{single: map[place]rule{}, wide: map[netip.Prefix][]ranged{}}
}

// add adds a rule. Of two rules for the same ports the first one stays.
func (x *index) add(prefix netip.Prefix, ports address.Ports, r rule) {
	if ports.Single() {
		at := place{prefix, ports.First}
		if _, taken := x.single[at]; !taken {
			x.single[at] = r
		}
		return
	}
	all := append(x.wide[prefix], ranged{ports, r})
	slices.SortStableFunc(all, func(a, b ranged) int { return cmp.Compare(a.ports.Width(), b.ports.Width()) })
	x.wide[prefix] = all
}

// find returns the rule with the narrowest range that contains a port, and the width of the range.
func (x *index) find(prefix netip.Prefix, port uint16) (r rule, width int, found bool) {
	if r, found := x.single[place{prefix, port}]; found {
		return r, 0, true
	}
	for _, wide := range x.wide[prefix] {
		if wide.ports.Contains(port) {
			return wide.rule, wide.ports.Width(), true
		}
	}
	return rule{}, 0, false
}

func (x *index) equal(other *index) bool {
	return maps.Equal(x.single, other.single) && maps.EqualFunc(x.wide, other.wide, slices.Equal)
}
