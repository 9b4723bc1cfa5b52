package naming

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// Resolver looks up the IP addresses of a host name. *net.Resolver implements it.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	lookupTimeout = 2 * time.Second
	// retainedRounds is how many more lookups an address stays valid after DNS stops returning it:
	// connections to it may live on, and round-robin answers are incomplete.
	retainedRounds = 10
	// maxHostAddresses limits the addresses of one host name.
	maxHostAddresses = 1024
)

// host holds the addresses of one host name.
type host struct {
	addresses map[netip.Addr]int // lookups since DNS last returned it
	failure   error              // of the last lookup; nil if it succeeded
}

// hosts are the host names of the rules. Not safe for concurrent use.
type hosts struct {
	resolver Resolver
	logger   *slog.Logger
	known    map[string]*host
}

// keep replaces the set of host names. Names that were in the old set keep their addresses.
func (h *hosts) keep(names []string) {
	known := make(map[string]*host, len(names))
	for _, name := range names {
		if known[name] = h.known[name]; known[name] == nil {
			known[name] = &host{addresses: map[netip.Addr]int{}}
		}
	}
	h.known = known
}

// names returns the host names, sorted.
func (h *hosts) names() []string {
	names := make([]string, 0, len(h.known))
	for name := range h.known {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// hostAddress is an address of a host name.
type hostAddress struct {
	addr     netip.Addr
	retained bool // the last answer lacked it
}

// addresses returns the addresses of a host name, sorted.
func (h *hosts) addresses(name string) []hostAddress {
	known := h.known[name]
	if known == nil {
		return nil
	}
	addresses := make([]hostAddress, 0, len(known.addresses))
	for addr, age := range known.addresses {
		addresses = append(addresses, hostAddress{addr, age > 0})
	}
	slices.SortFunc(addresses, func(a, b hostAddress) int { return a.addr.Compare(b.addr) })
	return addresses
}

// answer is the result of one lookup.
type answer struct {
	addresses []netip.Addr
	err       error
}

// lookup resolves all names in parallel, so that a slow name delays only its own result.
func lookup(ctx context.Context, resolver Resolver, names []string) map[string]answer {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	type named struct {
		name string
		answer
	}
	answers := make(chan named, len(names))
	for _, name := range names {
		go func() {
			addresses, err := resolver.LookupNetIP(ctx, "ip", name)
			answers <- named{name, answer{addresses, err}}
		}()
	}
	all := make(map[string]answer, len(names))
	for range names {
		got := <-answers
		all[got.name] = got.answer
	}
	return all
}

// update stores the answers of one round, logs names that begin to fail or to succeed, and returns
// the names that failed. A name that fails keeps its addresses.
func (h *hosts) update(answers map[string]answer) (failed []string) {
	for _, name := range h.names() {
		got, asked := answers[name]
		if !asked {
			continue
		}
		known := h.known[name]
		if got.err != nil {
			failed = append(failed, name)
			if known.failure == nil {
				h.logger.Warn("cannot resolve the host name of an endpoint; keeping its last addresses", "host", name, "error", got.err)
			}
			known.failure = got.err
			continue
		}
		if known.failure != nil {
			h.logger.Info("host name of an endpoint resolves again", "host", name)
		}
		known.failure = nil
		known.update(got.addresses)
	}
	return failed
}

func (h *host) update(addresses []netip.Addr) {
	for address, age := range h.addresses {
		if h.addresses[address] = age + 1; age >= retainedRounds {
			delete(h.addresses, address)
		}
	}
	for _, address := range addresses {
		if len(h.addresses) < maxHostAddresses {
			h.addresses[address.Unmap().WithZone("")] = 0
		}
	}
}
