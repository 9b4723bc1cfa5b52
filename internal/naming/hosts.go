package naming

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/redis-observer/redis-observer/internal/address"
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

// SRVResolver is a Resolver that knows SRV records.
type SRVResolver interface {
	Resolver
	// LookupSRV returns the addresses and ports of the SRV records of a name, and how long they are
	// valid, 0 if that is not known.
	LookupSRV(ctx context.Context, name string) ([]netip.AddrPort, time.Duration, error)
}

var errNoSRV = errors.New("the resolver does not know SRV records")

const (
	lookupTimeout = 2 * time.Second
	// shortestLifetime limits how often short-lived answers are looked up again.
	shortestLifetime = time.Second
	// retainedIntervals is for how many resolve intervals an address stays valid after DNS stops
	// returning it, because round-robin answers are incomplete.
	retainedIntervals = 10
	// maxHostAddresses limits the addresses of one name.
	maxHostAddresses = 1024
)

// host holds the addresses of one name: a host name, or that of SRV records.
type host struct {
	addresses map[netip.AddrPort]time.Time // when DNS last returned it; the port is 0 for a host name
	answered  time.Time                    // of the last answer
	failure   error                        // of the last lookup; nil if it succeeded
	due       time.Time                    // when to look it up again
	busy      bool                         // a lookup is in progress
	again     bool                         // another one follows it, because it may have begun too early
}

// hosts are the names of the rules that DNS is asked for, as address.Address.Lookup returns them. Not safe for concurrent use.
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
			known[name] = &host{addresses: map[netip.AddrPort]time.Time{}}
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

// hostAddress is an address of a name.
type hostAddress struct {
	netip.AddrPort      // the port is 0 for a host name
	retained       bool // the last answer lacked it
}

// addresses returns the addresses of a name, sorted.
func (h *hosts) addresses(name string) []hostAddress {
	known := h.known[name]
	if known == nil {
		return nil
	}
	addresses := make([]hostAddress, 0, len(known.addresses))
	for addr, seen := range known.addresses {
		addresses = append(addresses, hostAddress{addr, seen.Before(known.answered)})
	}
	slices.SortFunc(addresses, func(a, b hostAddress) int { return a.Compare(b.AddrPort) })
	return addresses
}

// usesPort reports whether any of the addresses of SRV records has a port.
func (h *hosts) usesPort(name string, port uint16) bool {
	return slices.ContainsFunc(h.addresses(name), func(a hostAddress) bool { return a.Port() == port })
}

// answer is the result of one lookup.
type answer struct {
	addresses []netip.AddrPort
	lifetime  time.Duration // 0 if it is not known
	err       error
}

// lookup resolves one name.
func lookup(ctx context.Context, resolver Resolver, name string) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if records, isSRV := address.CutSRV(name); isSRV {
		r, ok := resolver.(SRVResolver)
		if !ok {
			return answer{err: errNoSRV}
		}
		a.addresses, a.lifetime, a.err = r.LookupSRV(ctx, records)
		return a
	}
	var addresses []netip.Addr
	if r, ok := resolver.(LifetimeResolver); ok {
		addresses, a.lifetime, a.err = r.LookupLifetime(ctx, name)
	} else {
		addresses, a.err = resolver.LookupNetIP(ctx, "ip", name)
	}
	for _, addr := range addresses {
		a.addresses = append(a.addresses, netip.AddrPortFrom(addr, 0))
	}
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
func (h *host) update(addresses []netip.AddrPort, now time.Time, retained time.Duration) {
	for known, seen := range h.addresses {
		if now.Sub(seen) >= retained {
			delete(h.addresses, known)
		}
	}
	h.answered = now
	for _, found := range addresses {
		found = netip.AddrPortFrom(found.Addr().Unmap().WithZone(""), found.Port())
		if _, known := h.addresses[found]; known || len(h.addresses) < maxHostAddresses {
			h.addresses[found] = now
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
