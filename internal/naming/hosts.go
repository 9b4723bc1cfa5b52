package naming

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// Resolver finds the addresses of a host name. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	lookupTimeout = 2 * time.Second
	// An address that DNS no longer gives keeps its name this many rounds: connections to it live on, and round-robin answers show only a part.
	rememberedRounds = 10
	// maxHostAddresses bounds what one host name may bring in.
	maxHostAddresses = 1024
)

// host is what is known of one host name.
type host struct {
	addresses map[netip.Addr]int // the rounds since DNS last gave it
	failed    bool
}

// hosts are the host names of the configuration. Used by one goroutine at a time.
type hosts struct {
	resolver Resolver
	logger   *slog.Logger
	known    map[string]*host
}

// keep makes names the ones that are resolved, and forgets the others.
func (h *hosts) keep(names []string) {
	known := make(map[string]*host, len(names))
	for _, name := range names {
		if known[name] = h.known[name]; known[name] == nil {
			known[name] = &host{addresses: map[netip.Addr]int{}}
		}
	}
	h.known = known
}

// names returns the host names in a steady order.
func (h *hosts) names() []string {
	names := make([]string, 0, len(h.known))
	for name := range h.known {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// addresses returns what name stands for, in a steady order.
func (h *hosts) addresses(name string) []netip.Addr {
	known := h.known[name]
	if known == nil {
		return nil
	}
	addresses := make([]netip.Addr, 0, len(known.addresses))
	for address := range known.addresses {
		addresses = append(addresses, address)
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return addresses
}

// answer is what a lookup gave.
type answer struct {
	addresses []netip.Addr
	err       error
}

// lookup asks for all names at once, so that one that does not answer holds nothing up but its own round.
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

// learn takes in the answers of one round, says what changed for the worse or the better, and returns the names that failed.
// A host that fails keeps the addresses that it has.
func (h *hosts) learn(answers map[string]answer) (failed []string) {
	for _, name := range h.names() {
		got, asked := answers[name]
		if !asked {
			continue
		}
		known := h.known[name]
		if got.err != nil {
			failed = append(failed, name)
			if !known.failed {
				h.logger.Warn("cannot resolve the host name of an endpoint; keeping its last addresses", "host", name, "error", got.err)
			}
			known.failed = true
			continue
		}
		if known.failed {
			h.logger.Info("host name of an endpoint resolves again", "host", name)
		}
		known.failed = false
		known.learn(got.addresses)
	}
	return failed
}

func (h *host) learn(addresses []netip.Addr) {
	for address, age := range h.addresses {
		if h.addresses[address] = age + 1; age >= rememberedRounds {
			delete(h.addresses, address)
		}
	}
	for _, address := range addresses {
		if len(h.addresses) < maxHostAddresses {
			h.addresses[address.Unmap().WithZone("")] = 0
		}
	}
}
