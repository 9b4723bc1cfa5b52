package naming

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Resolver looks up the IP addresses of a host name. *net.Resolver implements it.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// LifetimeResolver is a Resolver that knows how long its answers are valid.
type LifetimeResolver interface {
	Resolver
	// LookupLifetime returns the addresses of a host name, and how long they are valid, 0 if that
	// is not known.
	LookupLifetime(ctx context.Context, host string) ([]netip.Addr, time.Duration, error)
}

const (
	lookupTimeout = 2 * time.Second
	// shortestLifetime limits how often short-lived answers are looked up again.
	shortestLifetime = time.Second
	// retainedIntervals is for how many resolve intervals an address stays valid after DNS stops
	// returning it, because round-robin answers are incomplete.
	retainedIntervals = 10
	// maxHostAddresses limits the addresses of one host name.
	maxHostAddresses = 1024
)

// host holds the addresses of one host name.
type host struct {
	addresses map[netip.Addr]time.Time // when DNS last returned it
	answered  time.Time                // of the last answer
	failure   error                    // of the last lookup; nil if it succeeded
	due       time.Time                // when to look it up again
	busy      bool                     // a lookup is in progress
	again     bool                     // another one follows it, because it may have begun too early
}

// hosts are the host names of the rules. Not safe for concurrent use.
type hosts struct {
	resolver Resolver
	logger   *slog.Logger
	now      func() time.Time
	known    map[string]*host
}

// keep replaces the set of host names. Names that were in the old set keep their addresses.
func (h *hosts) keep(names []string) {
	known := make(map[string]*host, len(names))
	for _, name := range names {
		if known[name] = h.known[name]; known[name] == nil {
			known[name] = &host{addresses: map[netip.Addr]time.Time{}}
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
	for addr, seen := range known.addresses {
		addresses = append(addresses, hostAddress{addr, seen.Before(known.answered)})
	}
	slices.SortFunc(addresses, func(a, b hostAddress) int { return a.addr.Compare(b.addr) })
	return addresses
}

// answer is the result of one lookup.
type answer struct {
	addresses []netip.Addr
	lifetime  time.Duration // 0 if it is not known
	err       error
}

// lookup resolves one name.
func lookup(ctx context.Context, resolver Resolver, name string) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if r, ok := resolver.(LifetimeResolver); ok {
		a.addresses, a.lifetime, a.err = r.LookupLifetime(ctx, name)
		return a
	}
	a.addresses, a.err = resolver.LookupNetIP(ctx, "ip", name)
	return a
}

// lookupAll resolves names in parallel.
func lookupAll(ctx context.Context, resolver Resolver, names []string) map[string]answer {
	var mu sync.Mutex
	var all sync.WaitGroup
	answers := make(map[string]answer, len(names))
	for _, name := range names {
		all.Go(func() {
			got := lookup(ctx, resolver, name)
			mu.Lock()
			defer mu.Unlock()
			answers[name] = got
		})
	}
	all.Wait()
	return answers
}

// update stores an answer, and logs it if the name begins to fail or to succeed. It returns false
// for a failure. A name that fails keeps its addresses.
func (h *hosts) update(name string, got answer, interval time.Duration) bool {
	known := h.known[name]
	now := h.now()
	if got.err != nil {
		if known.failure == nil {
			h.logger.Warn("cannot resolve the host name of an endpoint; keeping its last addresses", "host", name, "error", got.err)
		}
		known.failure, known.due = got.err, now.Add(interval)
		return false
	}
	if known.failure != nil {
		h.logger.Info("host name of an endpoint resolves again", "host", name)
	}
	known.failure = nil
	known.due = now.Add(interval)
	if got.lifetime > 0 {
		known.due = now.Add(min(interval, max(got.lifetime, shortestLifetime)))
	}
	known.update(got.addresses, now, retainedIntervals*interval)
	return true
}

// update notes the addresses of an answer, and forgets those that no answer had for long.
func (h *host) update(addresses []netip.Addr, now time.Time, retained time.Duration) {
	for address, seen := range h.addresses {
		if now.Sub(seen) >= retained {
			delete(h.addresses, address)
		}
	}
	h.answered = now
	for _, address := range addresses {
		address = address.Unmap().WithZone("")
		if _, known := h.addresses[address]; known || len(h.addresses) < maxHostAddresses {
			h.addresses[address] = now
		}
	}
}

// due returns the names whose lookup is due, and when the next one is.
func (h *hosts) due() (names []string, next time.Time) {
	now := h.now()
	next = now.Add(time.Hour)
	for _, name := range h.names() {
		switch known := h.known[name]; {
		case known.busy:
		case known.due.After(now):
			if known.due.Before(next) {
				next = known.due
			}
		default:
			names = append(names, name)
		}
	}
	return names, next
}
