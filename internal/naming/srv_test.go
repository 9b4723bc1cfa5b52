package naming

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/event"
)

// fakeSRV answers for SRV records with addresses.
type fakeSRV struct {
	*fakeDNS
	mu      sync.Mutex
	records map[string][]string
}

func (f *fakeSRV) setSRV(name string, servers ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records[name] = servers
}

func (f *fakeSRV) LookupSRV(_ context.Context, name string) ([]netip.AddrPort, time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.records[name]) == 0 {
		return nil, 0, errors.New("no such records")
	}
	var found []netip.AddrPort
	for _, text := range f.records[name] {
		found = append(found, netip.MustParseAddrPort(text))
	}
	return found, 0, nil
}

func newFakeSRV() *fakeSRV {
	return &fakeSRV{fakeDNS: &fakeDNS{hosts: map[string][]string{}}, records: map[string][]string{}}
}

// SRV records give addresses with their ports, which are observed.
func TestSRV(t *testing.T) {
	dns := newFakeSRV()
	dns.set("_redis._tcp.a", "10.9.0.1") // a host with the same name is another thing
	dns.setSRV("_redis._tcp.a", "10.0.0.1:7000", "10.0.0.2:7001", "[::ffff:10.0.0.3]:7000")
	names := mustNames(t, `{ports: [], resolve_interval: 1h, endpoints: [{name: a, addresses: ["srv://_redis._tcp.A."]}, {name: b, addresses: ["10.0.0.2:7001"]}]}`, dns)
	assert.Equal(t, []uint16{7000, 7001}, names.ClientPorts())
	for server, want := range map[string]string{"10.0.0.1:7000": "a", "10.0.0.3:7000": "a", "10.0.0.2:7001": "b", "10.0.0.1:7001": "default", "10.9.0.1:7000": "default"} {
		assert.Equal(t, want, nameOf(names, event.Client, server), server)
	}
	assert.Equal(t, OfSRV, names.Explain(event.Client, netip.MustParseAddrPort("10.0.0.1:7000")).Reason)
	found, err := names.Host("srv://_redis._tcp.a")
	require.NoError(t, err)
	assert.Len(t, found, 3)
}

// An address that no endpoint has on the port of a record asks for the records at once. Ports that are
// new are announced.
func TestSRVAsksAtOnce(t *testing.T) {
	dns := newFakeSRV()
	dns.setSRV("_redis._tcp.a", "10.0.0.1:7000")
	names := mustNames(t, `{ports: [], resolve_interval: 1h, endpoints: [{name: a, addresses: ["srv://_redis._tcp.a"]}]}`, dns)
	mustRun(t, names)
	assert.False(t, moved(names))
	before := names.Version()
	dns.setSRV("_redis._tcp.a", "10.0.0.2:7000", "10.0.0.2:7005")
	assert.Equal(t, "default", nameOf(names, event.Client, "10.0.0.2:7000"))
	require.Eventually(t, func() bool { return names.Version() != before }, 5*time.Second, time.Millisecond)
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.2:7000"))
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.1:7000"), "as with host names it stays valid for some time")
	require.Eventually(t, func() bool { return moved(names) }, 5*time.Second, time.Millisecond)
	assert.Equal(t, []uint16{7000, 7005}, names.ClientPorts())
}

// The lookup does not wait for the repetitions, and another port asks for nothing.
func TestSRVAsksOnItsPorts(t *testing.T) {
	dns := newFakeSRV()
	dns.setSRV("_redis._tcp.a", "10.0.0.1:7000")
	names := mustNames(t, `{resolve_interval: 1h, endpoints: [{name: a, addresses: ["srv://_redis._tcp.a"]}]}`, dns)
	dns.setSRV("_redis._tcp.a", "10.0.0.2:7000")
	var lookups sync.WaitGroup
	names.ask(t.Context(), &lookups, netip.MustParseAddrPort("10.0.0.2:6379"))
	lookups.Wait()
	assert.Equal(t, "default", nameOf(names, event.Client, "10.0.0.2:7000"))
	names.ask(t.Context(), &lookups, netip.MustParseAddrPort("10.0.0.2:7000"))
	lookups.Wait()
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.2:7000"))
}

// A resolver without SRV records is a failure, as is a name without them. Nothing else suffers.
func TestSRVFails(t *testing.T) {
	const text = `{resolve_interval: 1h, endpoints: [{name: a, addresses: ["srv://_redis._tcp.a", "10.0.0.1:6379"]}]}`
	for name, dns := range map[string]Resolver{"not known": &fakeDNS{}, "no records": newFakeSRV()} {
		names := mustNames(t, text, dns)
		_, err := names.Host("srv://_redis._tcp.a")
		require.Error(t, err, name)
		assert.Equal(t, map[string]uint64{"srv://_redis._tcp.a": 1}, names.LookupFailures(), name)
		assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.1:6379"), name)
	}
}
