package naming

import (
	"maps"
	"net/netip"
	"slices"
)

// Services returns the Services of Kubernetes in the rules, as namespace/name, sorted.
func (n *Names) Services() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rules.services()
}

// services returns the Services of all endpoints, sorted, without duplicates.
func (r *Rules) services() []string {
	var names []string
	for _, endpoint := range r.Endpoints {
		for _, a := range endpoint.Addresses {
			if a.Service != "" {
				names = append(names, a.Service)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// SetService sets the addresses of a Service, by its ports.
func (n *Names) SetService(name string, addresses map[uint16][]netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.rules.services(), name) { // of earlier rules
		return
	}
	n.services[name] = addresses
	n.move()
}

// samePorts reports whether the observed ports of two tables are the same.
func (t *table) samePorts(other *table) bool {
	for role := range t.sides {
		if t.sides[role].ports != other.sides[role].ports {
			return false
		}
	}
	return t.fallback == other.fallback
}

// serviceAddresses returns the addresses of a port of a Service. The caller must hold mu.
func (n *Names) serviceAddresses(name string, port uint16) []netip.AddrPort {
	return n.services[name][port]
}

// keepServices forgets the addresses of Services that the rules do not have.
func (n *Names) keepServices() {
	names := n.rules.services()
	maps.DeleteFunc(n.services, func(name string, _ map[uint16][]netip.AddrPort) bool { return !slices.Contains(names, name) })
}

// ServiceFailed counts a failure of the watch of a Service. Its last addresses stay.
func (n *Names) ServiceFailed(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults[name]++
}

// ServiceFailures returns the number of failures by Service. The caller owns the map.
func (n *Names) ServiceFailures() map[string]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.faults)
}
