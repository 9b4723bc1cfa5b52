package naming

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/event"
)

// mustRun runs the names until the test ends.
func mustRun(t *testing.T, names *Names) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		names.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// A connection to an address that no endpoint claims has its name as soon as DNS knows it.
func TestUnclaimedAddressAsksAtOnce(t *testing.T) {
	dns := &fakeDNS{hosts: map[string][]string{"h": {"10.0.0.1"}}}
	names := mustNames(t, `{resolve_interval: 1h, endpoints: [{name: a, addresses: ["h:6379"]}]}`, dns)
	mustRun(t, names)
	before := names.Version()
	dns.set("h", "10.0.0.2")
	assert.Equal(t, "default", nameOf(names, event.Client, "10.0.0.2:6379"))
	require.Eventually(t, func() bool { return names.Version() != before }, 5*time.Second, time.Millisecond)
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.2:6379"))
	assert.Equal(t, before.Rules, names.Version().Rules)
}

// The program may connect before the resolver has the answer that it goes by.
func TestUnclaimedAddressAsksAgain(t *testing.T) {
	dns := &fakeDNS{hosts: map[string][]string{"h": {"10.0.0.1"}}}
	names := mustNames(t, `{resolve_interval: 1h, endpoints: [{name: a, addresses: ["h:6379"]}]}`, dns)
	mustRun(t, names)
	assert.Equal(t, "default", nameOf(names, event.Client, "10.0.0.2:6379"))
	time.Sleep(20 * time.Millisecond)
	before := names.Version()
	dns.set("h", "10.0.0.2")
	require.Eventually(t, func() bool { return names.Version() != before }, 5*time.Second, time.Millisecond)
}

func TestAsksAreLimited(t *testing.T) {
	var a asks
	now := time.Unix(1000, 0)
	server := func(i int) netip.AddrPort {
		return netip.MustParseAddrPort(fmt.Sprintf("10.0.%d.%d:6379", i/250, i%250))
	}
	allowed := 0
	for i := range 1000 {
		if a.allow(server(i), now) {
			allowed++
		}
	}
	assert.Equal(t, askBurst, allowed)
	assert.False(t, a.allow(server(0), now), "asked for just now")
	now = now.Add(askInterval)
	assert.True(t, a.allow(server(2000), now))
	assert.False(t, a.allow(server(2001), now))
	now = now.Add(9 * askInterval)
	assert.False(t, a.allow(server(0), now), "the other half is for addresses that were not asked for")
	assert.True(t, a.allow(server(2002), now))
	now = now.Add(askBurst * askInterval)
	assert.True(t, a.allow(server(0), now))
	for i := range 3 * maxAsked {
		now = now.Add(askInterval)
		a.allow(server(i), now)
	}
	assert.LessOrEqual(t, len(a.last), maxAsked)
}

func TestRepeatedLookupsEnd(t *testing.T) {
	var a asks
	now := time.Unix(1000, 0)
	require.True(t, a.allow(netip.MustParseAddrPort("10.0.0.1:6379"), now))
	repeated := 0
	for range 100 {
		now = now.Add(firstRetry)
		if a.repeats(now) {
			repeated++
		}
	}
	assert.Equal(t, 6, repeated)
	assert.True(t, a.retry.IsZero())
}

// lasting answers with a lifetime.
type lasting struct {
	*fakeDNS
	lifetime time.Duration
}

func (l lasting) LookupLifetime(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	addresses, err := l.LookupNetIP(ctx, "ip", host)
	return addresses, l.lifetime, err
}

// An answer is looked up again when it expires, but not more often than every second.
func TestLifetimes(t *testing.T) {
	for lifetime, want := range map[time.Duration]time.Duration{
		0: 30 * time.Second, time.Nanosecond: time.Second, 5 * time.Second: 5 * time.Second, time.Hour: 30 * time.Second,
	} {
		dns := lasting{&fakeDNS{hosts: map[string][]string{"h": {"10.0.0.1"}}}, lifetime}
		names := New(context.Background(), mustRules(t, `endpoints: [{name: a, addresses: ["h:6379"]}]`), dns, quiet())
		now := time.Now().Add(time.Minute)
		names.hosts.now = func() time.Time { return now }
		names.Refresh(context.Background())
		_, next := names.hosts.due()
		assert.Equal(t, want, next.Sub(now), lifetime)
	}
}

func TestKeeps(t *testing.T) {
	names := mustNames(t, `endpoints: [{name: a, addresses: ["10.0.0.1:6379"]}]`, &fakeDNS{})
	registry := names.Registry()
	assert.True(t, names.Keeps(registry.Intern("a")))
	assert.False(t, names.Keeps(registry.Intern("default")))
	assert.False(t, names.Keeps(registry.Intern("of earlier rules")))
}
