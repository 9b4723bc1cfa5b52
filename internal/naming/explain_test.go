package naming

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
)

const explained = `
ports: [6379]
default_name: others
endpoints:
  - name: cache
    addresses: ["10.0.0.1:6379", "10.2.0.0/16:6379", "10.2.3.0/24:6379", "cache:6379", "*:6390"]
  - name: queue
    addresses: ["10.9.0.1:6400", "10.2.0.7:6379"]
    role: server
  - name: second
    addresses: ["second:6379", "unix:/run/redis.sock"]
`

func explainedNames(t *testing.T) *Names {
	t.Helper()
	dns := &fakeDNS{hosts: map[string][]string{"cache": {"10.5.0.1", "10.5.0.2"}, "second": {"10.5.0.1"}}}
	return New(context.Background(), mustRules(t, explained), dns, quiet())
}

func TestExplain(t *testing.T) {
	names := explainedNames(t)
	tests := []struct {
		server string
		role   event.Role
		want   string
	}{
		{"10.0.0.1:6379", event.Client, "cache: 10.0.0.1:6379 endpoints[0].addresses[0]: the address itself"},
		{"10.2.3.4:6379", event.Client, "cache: 10.2.3.0/24:6379 endpoints[0].addresses[2]: the longest network that contains it"},
		{"10.2.4.4:6379", event.Client, "cache: 10.2.0.0/16:6379 endpoints[0].addresses[1]: the longest network that contains it"},
		{"10.5.0.1:6379", event.Client, "cache: cache:6379 endpoints[0].addresses[3]: an address of this host name"},
		{"10.7.7.7:6390", event.Client, "cache: *:6390 endpoints[0].addresses[4]: any address with this port"},
		{"10.7.7.7:6379", event.Client, "others: *:0 default_name: no endpoint has it, but its port is observed"},
		{"10.7.7.7:6379", event.Server, ": *:0 : it counts at the other end"},
		{"10.2.0.7:6379", event.Server, "queue: 10.2.0.7:6379 endpoints[1].addresses[1]: the address itself"},
		{"10.2.0.7:6379", event.Client, ": *:0 : it counts at the other end"},
		{"10.9.0.2:6400", event.Server, "others: *:0 default_name: no endpoint has it, but its port is observed"},
		{"10.9.0.2:6400", event.Client, ": *:0 : it counts at the other end"},
		{"10.9.0.2:7000", event.Client, ": *:0 : its port is not observed at this end"},
		{"10.9.0.2:7000", event.Server, ": *:0 : its port is not observed at this end"},
	}
	for _, test := range tests {
		m := names.Explain(test.role, netip.MustParseAddrPort(test.server))
		assert.Equal(t, test.want, fmt.Sprintf("%s: %s %s: %s", m.Name, m.Rule, m.Path, m.Reason), "%s at %d", test.server, test.role)
	}
}

// The explanation is that of the table which names connections.
func TestExplainAgreesWithResolve(t *testing.T) {
	names := explainedNames(t)
	for _, host := range []string{"10.0.0.1", "10.0.0.2", "10.2.0.7", "10.2.3.4", "10.2.255.1", "10.5.0.1", "10.5.0.2", "10.9.0.1", "fd00::7"} {
		for _, port := range []uint16{6379, 6390, 6400, 6401} {
			for _, role := range []event.Role{event.Client, event.Server} {
				server := netip.AddrPortFrom(netip.MustParseAddr(host), port)
				id, found := names.current.Load().resolve(role, server)
				m := names.Explain(role, server)
				assert.Equal(t, found, m.Counted, "%s at %d", server, role)
				if found {
					values, _ := names.registry.Values(id)
					assert.Equal(t, values[0], m.Name, "%s at %d", server, role)
				}
			}
		}
	}
}

// The description has the addresses as configured, and what they stand for.
func TestDescribe(t *testing.T) {
	names := mustNames(t, `
default_name: others
endpoints:
  - {name: cache, addresses: ["10.2.0.0/16:6379", "cache:6379", "gone:6379"]}
  - {name: queue, addresses: ["service://shop/queue:6379"], role: server}
`, &fakeDNS{hosts: map[string][]string{"cache": {"10.5.0.2", "10.5.0.1"}}})
	names.SetService("shop/queue", map[uint16][]netip.AddrPort{6379: {netip.MustParseAddrPort("10.9.0.1:7000")}, 1: {netip.MustParseAddrPort("10.9.0.1:1")}})
	var lines []string
	for _, d := range names.Describe() {
		lines = append(lines, fmt.Sprint(d.Name, " ", d.Role, " ", d.Address, " ", d.Resolved, " ", d.Failure != nil))
	}
	assert.Equal(t, []string{
		"cache client 10.2.0.0/16:6379 [] false",
		"cache client cache:6379 [10.5.0.1:0 10.5.0.2:0] false",
		"cache client gone:6379 [] true",
		"queue server service://shop/queue:6379 [10.9.0.1:7000] false",
	}, lines)
	assert.Equal(t, "others", names.DefaultName())
}

// An endpoint may have the default name.
func TestSharesDefault(t *testing.T) {
	names := mustNames(t, `
default_name: cache
endpoints:
  - {name: cache, addresses: ["10.0.0.1:6379", "unix:/run/redis.sock"]}
  - {name: queue, addresses: ["10.0.0.2:6379"]}
  - {name: cache, addresses: ["10.0.0.3:6379"], role: server}
  - {role: ignore, addresses: ["10.0.0.4:6379"]}
`, &fakeDNS{})
	for server, shares := range map[string][2]bool{ // by role
		"10.0.0.1:6379": {true, false}, "10.0.0.2:6379": {false, false}, "10.0.0.3:6379": {false, true}, "10.0.0.4:6379": {false, false}, "10.0.0.5:6379": {false, false},
	} {
		at := netip.MustParseAddrPort(server)
		assert.Equal(t, shares[event.Client], names.SharesDefault(event.Client, &event.Endpoints{Remote: at.Addr().As16(), RemotePort: at.Port()}), server)
		assert.Equal(t, shares[event.Server], names.SharesDefault(event.Server, &event.Endpoints{Local: at.Addr().As16(), LocalPort: at.Port()}), server)
	}
	assert.True(t, names.SharesDefault(event.Client, &event.Endpoints{}), "over a Unix socket")
}

func TestExplainPath(t *testing.T) {
	names := explainedNames(t)
	m := names.ExplainPath(event.Client, "/run/redis.sock")
	assert.Equal(t, "second unix:/run/redis.sock endpoints[2].addresses[1] true", fmt.Sprint(m.Name, " ", m.Rule, " ", m.Path, " ", m.Counted))
	assert.Equal(t, Match{Reason: NoSuchPath}, names.ExplainPath(event.Server, "/run/redis.sock"))
	assert.Equal(t, Match{Reason: NoSuchPath}, names.ExplainPath(event.Client, "/run/other.sock"))
}

func TestHost(t *testing.T) {
	names := New(context.Background(), mustRules(t, `endpoints: [{name: a, addresses: ["b:1", "gone:1"]}]`), &fakeDNS{hosts: map[string][]string{"b": {"10.0.0.2", "10.0.0.1"}}}, quiet())
	addresses, err := names.Host("b")
	assert.NoError(t, err)
	assert.Equal(t, []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:0"), netip.MustParseAddrPort("10.0.0.2:0")}, addresses)
	addresses, err = names.Host("gone")
	assert.ErrorContains(t, err, "no such host")
	assert.Empty(t, addresses)
}
