package naming

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Names looks up host names at once when a connection to an address begins that no endpoint claims,
// because it may be a new address of one of them. Programs choose the addresses they connect to, so
// these lookups are limited.
const (
	maxSeen      = 64 // addresses that wait for their lookup
	maxAsked     = 4096
	askBurst     = 20
	askInterval  = time.Second // between two lookups, once the burst is used up
	askAgain     = time.Second // the least between two for the same address
	firstRetry   = 50 * time.Millisecond
	longestRetry = 2 * time.Second
)

// asks limits lookups for unclaimed addresses. The zero value is ready.
type asks struct {
	last   map[netip.AddrPort]time.Time // when each address was last asked for
	spent  time.Time                    // when the burst is available in full again
	retry  time.Time                    // when to repeat the latest one; zero if not
	waited time.Duration                // before that
}

// allow reports whether to look up host names for an address now. Addresses that were asked for
// before can use only half of the burst.
func (a *asks) allow(server netip.AddrPort, now time.Time) bool {
	before, known := a.last[server]
	if known && now.Sub(before) < askAgain {
		return false
	}
	limit := askBurst * askInterval
	if known {
		limit /= 2
	}
	if a.spent.Before(now) {
		a.spent = now
	}
	if a.spent.Sub(now) > limit-askInterval {
		return false
	}
	a.spent = a.spent.Add(askInterval)
	if a.last == nil || len(a.last) >= maxAsked {
		a.last = map[netip.AddrPort]time.Time{}
	}
	a.last[server] = now
	if !known && a.waited == 0 {
		a.waited, a.retry = firstRetry, now.Add(firstRetry)
	}
	return true
}

// repeats reports whether the latest lookup is to be repeated now: the program may have connected
// before the answer that it goes by reached the resolver. Each repetition waits twice as long.
func (a *asks) repeats(now time.Time) bool {
	if a.retry.IsZero() || now.Before(a.retry) {
		return false
	}
	if a.waited *= 2; a.waited > longestRetry {
		a.waited, a.retry = 0, time.Time{}
		return true
	}
	a.retry = now.Add(a.waited)
	return true
}

// Run resolves host names until ctx ends: when their addresses expire, at the latest after the
// configured interval, and when a connection to an address begins that no endpoint claims.
func (n *Names) Run(ctx context.Context) {
	var lookups sync.WaitGroup
	defer lookups.Wait()
	for {
		timer := time.NewTimer(n.lookUpDue(ctx, &lookups))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case server := <-n.seen:
			n.ask(ctx, &lookups, server)
		case <-n.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// lookUpDue begins the lookups that are due, and returns how long to wait for the next ones.
func (n *Names) lookUpDue(ctx context.Context, lookups *sync.WaitGroup) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.hosts.now()
	names, next := n.hosts.due()
	if n.asks.repeats(now) {
		names = n.hosts.names()
	}
	for _, name := range names {
		n.lookUp(ctx, lookups, name)
	}
	if !n.asks.retry.IsZero() && n.asks.retry.Before(next) {
		next = n.asks.retry
	}
	return next.Sub(now)
}

// ask looks up the host names that can have a server's address, if the address is still unclaimed
// and the limits allow it.
func (n *Names) ask(ctx context.Context, lookups *sync.WaitGroup, server netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.current.Load().awaited(server) || !n.asks.allow(server, n.hosts.now()) {
		return
	}
	for _, endpoint := range n.rules.Endpoints {
		for _, a := range endpoint.Addresses {
			if name := a.Lookup(); name != "" && (a.Ports.Contains(server.Port()) || a.SRV != "" && n.hosts.usesPort(name, server.Port())) {
				n.lookUp(ctx, lookups, name)
			}
		}
	}
}

// lookUp looks a host name up in a goroutine, so that a slow one delays no other. The caller must
// hold mu.
func (n *Names) lookUp(ctx context.Context, lookups *sync.WaitGroup, name string) {
	known := n.hosts.known[name]
	if known.busy {
		known.again = true
		return
	}
	known.busy, known.again = true, false
	lookups.Go(func() {
		got := lookup(ctx, n.hosts.resolver, name)
		n.mu.Lock()
		defer n.mu.Unlock()
		known.busy = false
		if ctx.Err() != nil || n.hosts.known[name] != known { // shutting down, or no longer configured
			return
		}
		before := n.hosts.addresses(name)
		n.store(name, got)
		if !slices.Equal(before, n.hosts.addresses(name)) {
			n.move()
		}
		if known.again {
			known.due = n.hosts.now()
		}
		n.wake()
	})
}

// wake makes Run look at what is due.
func (n *Names) wake() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}
