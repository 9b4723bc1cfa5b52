package naming

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// fakeDNS answers from a map. Other names do not resolve.
type fakeDNS struct {
	mu    sync.Mutex
	hosts map[string][]string
}

func (d *fakeDNS) set(name string, addresses ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hosts[name] = addresses
}

func (d *fakeDNS) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.hosts[name]) == 0 {
		return nil, errors.New("no such host")
	}
	var addresses []netip.Addr
	for _, text := range d.hosts[name] {
		addresses = append(addresses, netip.MustParseAddr(text))
	}
	return addresses, nil
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// mustRules returns the rules of a valid configuration.
func mustRules(tb testing.TB, text string) *Rules {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "observer.yaml")
	require.NoError(tb, os.WriteFile(path, []byte(text), 0o600))
	c, err := config.Loader{Path: path}.Load()
	require.NoError(tb, err)
	rules := &Rules{DefaultName: c.DefaultName, ResolveInterval: c.ResolveInterval}
	for _, endpoint := range c.Endpoints {
		rules.Endpoints = append(rules.Endpoints, Endpoint(endpoint))
	}
	for _, port := range c.Ports {
		rules.Ports = append(rules.Ports, uint16(port))
	}
	return rules
}

// mustNames returns the names of a valid configuration, with its host names resolved.
func mustNames(tb testing.TB, text string, dns Resolver) *Names {
	tb.Helper()
	return New(context.Background(), mustRules(tb, text), dns, quiet())
}

// nameOf returns the name of a connection to a server address, observed in a role, or "" if it is
// not counted.
func nameOf(names *Names, role event.Role, server string) string {
	e := endpointsOf(role, server)
	id, found := names.Resolve(role, &e)
	if !found {
		return ""
	}
	values, _ := names.Registry().Values(id)
	return values[0]
}

// endpointsOf returns the endpoints of a connection to a server, observed in a role.
func endpointsOf(role event.Role, server string) event.Endpoints {
	address := netip.MustParseAddrPort(server)
	e := event.Endpoints{Local: netip.MustParseAddr("192.0.2.1").As16(), LocalPort: 50000, Remote: address.Addr().As16(), RemotePort: address.Port()}
	if role == event.Server {
		e.Local, e.LocalPort, e.Remote, e.RemotePort = e.Remote, e.RemotePort, e.Local, e.LocalPort
	}
	return e
}

const specificity = `
endpoints:
  - {name: any, addresses: ["*:6379"]}
  - {name: wide, addresses: ["10.0.0.0/8:6379", "[fd00::/16]:6379"]}
  - {name: narrow, addresses: ["10.2.0.0/16:6379"]}
  - {name: host, addresses: ["sessions:6379"]}
  - {name: exact, addresses: ["10.2.0.10:6379", "[fd00::7]:6379"]}
  - {name: other-port, addresses: ["10.2.0.10:6380"]}
  - {name: local, addresses: ["10.9.0.1:6390"], role: server}
`

func TestResolve(t *testing.T) {
	dns := &fakeDNS{hosts: map[string][]string{"sessions": {"10.2.0.20", "10.2.0.10"}}}
	names := mustNames(t, specificity, dns)
	tests := []struct {
		name, server string
		role         event.Role
		want         string
	}{
		{"exact over everything", "10.2.0.10:6379", event.Client, "exact"},
		{"host name over network", "10.2.0.20:6379", event.Client, "host"},
		{"longest prefix", "10.2.0.30:6379", event.Client, "narrow"},
		{"shorter prefix", "10.3.0.1:6379", event.Client, "wide"},
		{"wildcard", "192.168.0.1:6379", event.Client, "any"},
		{"IPv4-mapped", "[::ffff:10.2.0.10]:6379", event.Client, "exact"},
		{"IPv6 exact", "[fd00::7]:6379", event.Client, "exact"},
		{"IPv6 network", "[fd00::8]:6379", event.Client, "wide"},
		{"IPv6 wildcard", "[2001:db8::1]:6379", event.Client, "any"},
		{"other port", "10.2.0.10:6380", event.Client, "other-port"},
		{"unmatched address on the port of an endpoint", "10.2.0.11:6380", event.Client, "default"},
		{"port that is not observed", "10.2.0.10:6381", event.Client, ""},
		{"client's end of a server's endpoint", "10.9.0.1:6390", event.Client, ""},
		{"server's end", "10.9.0.1:6390", event.Server, "local"},
		{"unmatched at the server's end", "10.9.0.2:6390", event.Server, "default"},
		{"server's end of a client's endpoint", "10.2.0.10:6379", event.Server, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, nameOf(names, test.role, test.server))
		})
	}
	assert.Equal(t, []uint16{6379, 6380}, names.ClientPorts())
	assert.Equal(t, []uint16{6390}, names.ServerPorts())
}

// A node with both ends counts each command once, whatever the configuration.
func TestEachAddressHasOneEnd(t *testing.T) {
	for name, text := range map[string]string{
		"nothing configured":        "",
		"server wildcard":           `endpoints: [{name: s, addresses: ["*:6379"], role: server}]`,
		"server address":            `endpoints: [{name: s, addresses: ["10.0.0.1:6379"], role: server}]`,
		"server network":            `endpoints: [{name: s, addresses: ["10.0.0.0/8:6379"], role: server}]`,
		"server without ports":      `{ports: [], endpoints: [{name: s, addresses: ["10.0.0.1:6379"], role: server}]}`,
		"both roles on one port":    `endpoints: [{name: s, addresses: ["10.0.0.1:6379"], role: server}, {name: c, addresses: ["10.0.0.2:6379"]}]`,
		"wildcard beside an exact":  `endpoints: [{name: s, addresses: ["*:6379"], role: server}, {name: c, addresses: ["10.0.0.2:6379"]}]`,
		"server host that resolves": `endpoints: [{name: s, addresses: ["h:6379"], role: server}]`,
		"wildcard of clients":       `endpoints: [{name: c, addresses: ["*:6379"]}, {name: s, addresses: ["10.0.0.1:6379"], role: server}]`,
		"network in a network":      `endpoints: [{name: c, addresses: ["10.0.0.0/24:6379"]}, {name: s, addresses: ["10.0.0.0/8:6379"], role: server}]`,
		"network around a network":  `endpoints: [{name: c, addresses: ["10.0.0.0/8:6379"]}, {name: s, addresses: ["10.0.0.0/24:6379"], role: server}]`,
		"address in a network":      `endpoints: [{name: c, addresses: ["10.0.0.0/8:6379"]}, {name: s, addresses: ["10.0.0.1:6379"], role: server}]`,
		"hosts at one address":      `endpoints: [{name: c, addresses: ["i:6379"]}, {name: s, addresses: ["h:6379"], role: server}]`,
		"host at an address":        `endpoints: [{name: c, addresses: ["10.0.0.1:6379"]}, {name: s, addresses: ["i:6379"], role: server}]`,
		"host beside a wildcard":    `endpoints: [{name: s, addresses: ["*:6379"], role: server}, {name: c, addresses: ["h:6379"]}]`,
		"ranges":                    `endpoints: [{name: c, addresses: ["*:6000-7000"]}, {name: s, addresses: ["*:6300-6400", "10.0.0.2:6000-7000"], role: server}]`,
		"crossing ranges of hosts":  `endpoints: [{name: c, addresses: ["h:6379-6380"]}, {name: s, addresses: ["i:6378-6379"], role: server}]`,
		"everything of both":        `endpoints: [{name: c, addresses: ["0.0.0.0/0:6379"]}, {name: s, addresses: ["*:6379"], role: server}]`,
	} {
		t.Run(name, func(t *testing.T) {
			names := mustNames(t, text, &fakeDNS{hosts: map[string][]string{"h": {"10.0.0.2", "10.0.0.1"}, "i": {"10.0.0.1"}}})
			for _, server := range []string{"10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379", "192.168.0.1:6379"} {
				ends := 0
				for _, role := range []event.Role{event.Client, event.Server} {
					if nameOf(names, role, server) != "" {
						ends++
					}
				}
				assert.Equal(t, 1, ends, server)
			}
		})
	}
}

func TestPortsOfAServerWildcardAreNotObservedAtTheClient(t *testing.T) {
	names := mustNames(t, `endpoints: [{name: s, addresses: ["*:6379"], role: server}]`, &fakeDNS{})
	assert.Empty(t, names.ClientPorts())
	assert.Equal(t, []uint16{6379}, names.ServerPorts())
}

func TestHostNames(t *testing.T) {
	var log strings.Builder
	dns := &fakeDNS{hosts: map[string][]string{}}
	rules := mustRules(t, `endpoints: [{name: a, addresses: ["h:6379"]}, {name: b, addresses: ["i:6379"]}]`)
	ctx := context.Background()
	names := New(ctx, rules, dns, slog.New(slog.NewTextHandler(&log, nil)))
	assert.Equal(t, map[string]uint64{"h": 1, "i": 1}, names.LookupFailures())
	assert.Equal(t, "default", nameOf(names, event.Client, "10.0.0.1:6379"))
	names.Refresh(ctx)
	assert.Equal(t, 2, strings.Count(log.String(), "cannot resolve the host name"), "a failure that lasts is logged once")

	version := names.Version()
	dns.set("h", "::ffff:10.0.0.1")
	dns.set("i", "10.0.0.1", "10.0.0.2")
	names.Refresh(ctx)
	assert.Greater(t, names.Version().Table, version.Table)
	assert.Contains(t, log.String(), "resolves again")
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.1:6379"), "the first endpoint has an address that two host names share")
	assert.Equal(t, "b", nameOf(names, event.Client, "10.0.0.2:6379"))

	version = names.Version()
	names.Refresh(ctx)
	assert.Equal(t, version, names.Version(), "the same answers change nothing")

	dns.set("h")
	names.Refresh(ctx)
	assert.Equal(t, map[string]uint64{"h": 3, "i": 2}, names.LookupFailures())
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.1:6379"), "a host that fails keeps its addresses")

	dns.set("i", "10.0.0.3")
	now := time.Now()
	names.hosts.now = func() time.Time { return now }
	for range retainedIntervals {
		now = now.Add(rules.ResolveInterval - time.Second)
		names.Refresh(ctx)
	}
	assert.Equal(t, "b", nameOf(names, event.Client, "10.0.0.2:6379"), "an address that DNS leaves out is remembered")
	now = now.Add(rules.ResolveInterval)
	names.Refresh(ctx)
	assert.Equal(t, "default", nameOf(names, event.Client, "10.0.0.2:6379"), "but not for ever")
	assert.Equal(t, "b", nameOf(names, event.Client, "10.0.0.3:6379"))
}

func TestApplyKeepsIDs(t *testing.T) {
	dns := &fakeDNS{hosts: map[string][]string{"h": {"10.0.0.1"}}}
	names := mustNames(t, `endpoints: [{name: a, addresses: ["h:6379"]}]`, dns)
	before := names.Registry().Intern("a")
	version := names.Version()

	names.Apply(context.Background(), mustRules(t, `endpoints: [{name: b, addresses: ["10.0.0.2:6379"]}, {name: a, addresses: ["h:6379"]}]`))
	assert.Greater(t, names.Version().Table, version.Table)
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.1:6379"), "known addresses of a host name survive")
	assert.Equal(t, "b", nameOf(names, event.Client, "10.0.0.2:6379"))
	assert.Equal(t, before, names.Registry().Intern("a"))
	assert.Len(t, names.Registry().IDs(), 3)

	version = names.Version()
	names.Apply(context.Background(), mustRules(t, `endpoints: [{name: b, addresses: ["10.0.0.2:6379"]}, {name: a, addresses: ["h:6379"]}]`))
	assert.Equal(t, version.Table, names.Version().Table)

	dns.set("new", "10.0.0.2")
	names.Apply(context.Background(), mustRules(t, `endpoints: [{name: c, addresses: ["new:6379"]}]`))
	assert.Equal(t, "c", nameOf(names, event.Client, "10.0.0.2:6379"), "a new host name is resolved before it is used")
}

func TestResolveWhileApplying(t *testing.T) {
	names := mustNames(t, specificity, &fakeDNS{})
	other := mustRules(t, `endpoints: [{name: new, addresses: ["*:6379"]}]`)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			names.Apply(context.Background(), other)
			names.Refresh(context.Background())
		}
	}()
	for range 1000 {
		require.NotEmpty(t, nameOf(names, event.Client, "10.2.0.10:6379"))
	}
	<-done
	assert.Equal(t, "new", nameOf(names, event.Client, "10.2.0.10:6379"))
}

func TestResolveAllocatesNothing(t *testing.T) {
	names := mustNames(t, specificity, &fakeDNS{})
	e := event.Endpoints{Remote: netip.MustParseAddr("10.3.0.1").As16(), RemotePort: 6379}
	assert.Zero(t, testing.AllocsPerRun(100, func() { names.Resolve(event.Client, &e) }))
}

func BenchmarkResolve(b *testing.B) {
	names := mustNames(b, specificity, &fakeDNS{})
	e := event.Endpoints{Remote: netip.MustParseAddr("192.168.0.1").As16(), RemotePort: 6379}
	b.ReportAllocs()
	for b.Loop() {
		names.Resolve(event.Client, &e)
	}
}

// If endpoints of both roles match, the more specific one decides at which end commands count.
func TestMoreSpecificRoleWins(t *testing.T) {
	names := mustNames(t, `endpoints:
  - {name: c, addresses: ["*:6379", "10.1.0.1:6379", "late:6379"]}
  - {name: s, addresses: ["10.1.0.0/16:6379", "first:6379", "other:6379"], role: server}
  - {name: last, addresses: ["second:6379"]}
`, &fakeDNS{hosts: map[string][]string{"first": {"10.9.0.1"}, "second": {"10.9.0.1", "10.9.0.2"}, "other": {"10.1.0.1"}}})
	for server, want := range map[string][2]string{
		"10.0.0.1:6379": {"c", ""},
		"10.1.0.2:6379": {"", "s"},
		"10.1.0.1:6379": {"c", ""},
		"10.9.0.1:6379": {"", "s"},
		"10.9.0.2:6379": {"last", ""},
	} {
		assert.Equal(t, want, [2]string{nameOf(names, event.Client, server), nameOf(names, event.Server, server)}, server)
	}
}

// Identities that the rules cannot return are retired. A released identity is gone, and its name
// gets a new one if rules return it again.
func TestRelease(t *testing.T) {
	names := mustNames(t, `endpoints: [{name: a, addresses: ["*:6379"]}]`, &fakeDNS{})
	e := event.Endpoints{Remote: netip.MustParseAddr("10.0.0.1").As16(), RemotePort: 6379}
	a, _ := names.Resolve(event.Client, &e)
	assert.Empty(t, names.Retired())
	names.Release(a)
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.1:6379"), "what the rules give stays")

	names.Apply(context.Background(), mustRules(t, `endpoints: [{name: b, addresses: ["*:6379"]}]`))
	assert.Equal(t, []identity.ID{a}, names.Retired())
	names.Release(a)
	assert.Empty(t, names.Retired())
	_, found := names.Registry().Values(a)
	assert.False(t, found)

	names.Apply(context.Background(), mustRules(t, `endpoints: [{name: a, addresses: ["*:6379"]}]`))
	again, _ := names.Resolve(event.Client, &e)
	assert.NotEqual(t, a, again)
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.1:6379"))
}

// pathName returns the name of a connection over a Unix socket, or "" if it is not counted.
func pathName(names *Names, role event.Role, index uint32) string {
	var e event.Endpoints
	server := &e.Remote
	if role == event.Server {
		server = &e.Local
	}
	binary.NativeEndian.PutUint32(server[:], index)
	id, found := names.Resolve(role, &e)
	if !found {
		return ""
	}
	values, _ := names.Registry().Values(id)
	return values[0]
}

func TestResolvePath(t *testing.T) {
	names := mustNames(t, `
endpoints:
  - {name: cache, addresses: ["unix:/run/a.sock", "unix:@a", "*:6379"]}
  - {name: local, addresses: ["unix:/run/b.sock"], role: server}
`, &fakeDNS{})
	assert.Equal(t, []event.Path{
		{Text: "/run/a.sock", Index: 0, Role: event.Client},
		{Text: "@a", Index: 1, Role: event.Client},
		{Text: "/run/b.sock", Index: 2, Role: event.Server},
	}, names.Paths())
	assert.Equal(t, []uint16{6379}, names.ClientPorts())
	assert.Equal(t, "cache", pathName(names, event.Client, 0))
	assert.Equal(t, "cache", pathName(names, event.Client, 1))
	assert.Equal(t, "local", pathName(names, event.Server, 2))
	assert.Empty(t, pathName(names, event.Client, 2), "the other end")
	assert.Empty(t, pathName(names, event.Client, 3), "not configured")
}

func TestReloadPaths(t *testing.T) {
	names := mustNames(t, `endpoints: [{name: a, addresses: ["unix:/a"]}, {name: b, addresses: ["unix:/b"]}]`, &fakeDNS{})
	version := names.Version()
	names.Apply(context.Background(), mustRules(t, `endpoints: [{name: c, addresses: ["unix:/b", "unix:/c"]}]`))
	assert.Greater(t, names.Version().Table, version.Table)
	assert.Equal(t, []event.Path{{Text: "/b", Index: 1}, {Text: "/c", Index: 2}}, names.Paths(), "an index belongs to its path for ever")
	assert.Empty(t, pathName(names, event.Client, 0))
	assert.Equal(t, "c", pathName(names, event.Client, 1))
}

// Of ranges for one address the narrowest one decides; a more specific address comes first.
func TestRanges(t *testing.T) {
	names := mustNames(t, `
ports: []
endpoints:
  - {name: any, addresses: ["*:7000-7099"]}
  - {name: few, addresses: ["*:7010-7019"]}
  - {name: one, addresses: ["*:7015"]}
  - {name: net, addresses: ["10.0.0.0/8:7000-7020"]}
  - {name: host, addresses: ["h:7000-7001"]}
  - {name: local, addresses: ["10.0.0.9:7000-7001"], role: server}
`, &fakeDNS{hosts: map[string][]string{"h": {"192.0.2.7"}}})
	for server, want := range map[string]string{
		"192.0.2.1:7000": "any", "192.0.2.1:7099": "any", "192.0.2.1:7100": "", "192.0.2.1:6999": "",
		"192.0.2.1:7010": "few", "192.0.2.1:7019": "few", "192.0.2.1:7015": "one",
		"10.0.0.1:7015": "net", "10.0.0.1:7021": "any", "192.0.2.7:7001": "host", "192.0.2.7:7002": "any",
		"10.0.0.9:7000": "", "10.0.0.9:7002": "net",
	} {
		assert.Equal(t, want, nameOf(names, event.Client, server), server)
	}
	assert.Equal(t, "local", nameOf(names, event.Server, "10.0.0.9:7001"))
	assert.Len(t, names.ClientPorts(), 100)
	assert.Equal(t, []uint16{7000, 7001}, names.ServerPorts())
}

// An address of role ignore counts at neither end, unless a more specific one does.
func TestIgnore(t *testing.T) {
	names := mustNames(t, `
endpoints:
  - {name: c, addresses: ["*:6379", "10.1.0.9:6379"]}
  - {name: s, addresses: ["10.2.0.0/16:6379"], role: server}
  - {role: ignore, addresses: ["10.1.0.0/16:6379", "10.2.0.5:6379", "*:6390", "10.3.0.1:7000"]}
`, &fakeDNS{})
	for server, want := range map[string][2]string{
		"10.0.0.1:6379": {"c", ""},
		"10.1.0.1:6379": {"", ""},
		"10.1.0.9:6379": {"c", ""},
		"10.2.0.1:6379": {"", "s"},
		"10.2.0.5:6379": {"", ""},
		"10.2.0.5:6390": {"", ""},
	} {
		assert.Equal(t, want, [2]string{nameOf(names, event.Client, server), nameOf(names, event.Server, server)}, server)
	}
	assert.Equal(t, []uint16{6379}, names.ClientPorts(), "ports of ignored addresses alone are not observed")
	m := names.Explain(event.Client, netip.MustParseAddrPort("10.1.0.1:6379"))
	assert.Equal(t, Match{Reason: Ignored + InNetwork, Rule: m.Rule, Path: "endpoints[2].addresses[0]"}, m)
}

func TestNoDefaultName(t *testing.T) {
	names := mustNames(t, `{default_name: "", ports: [6379, 6380], endpoints: [{name: a, addresses: ["10.0.0.1:6379"]}]}`, &fakeDNS{})
	assert.Equal(t, []uint16{6379}, names.ClientPorts())
	assert.Empty(t, nameOf(names, event.Client, "10.0.0.2:6379"))
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.1:6379"))
	e := event.Endpoints{Remote: netip.MustParseAddr("10.0.0.1").As16(), RemotePort: 6379}
	assert.True(t, names.HasName(event.Client, &e))
	assert.Len(t, names.Registry().IDs(), 1)
}

// An address of the latest answer counts before one that another name had earlier.
func TestLatestAnswerWins(t *testing.T) {
	dns := &fakeDNS{hosts: map[string][]string{"h": {"10.0.0.1"}, "i": {"10.0.0.2"}}}
	names := mustNames(t, `endpoints: [{name: a, addresses: ["h:6379"]}, {name: b, addresses: ["i:6379"]}]`, dns)
	dns.set("h", "10.0.0.2")
	dns.set("i", "10.0.0.1")
	names.Refresh(context.Background())
	assert.Equal(t, "a", nameOf(names, event.Client, "10.0.0.2:6379"))
	assert.Equal(t, "b", nameOf(names, event.Client, "10.0.0.1:6379"))
}

// An address that an unprivileged user may have chosen has no name of its own.
func TestUnnamed(t *testing.T) {
	const endpoints = `endpoints: [{name: a, addresses: ["10.0.0.1:6379", "unix:/s"]}, {name: b, role: server, addresses: ["10.0.0.2:6380"]}, {role: ignore, addresses: ["10.0.0.3:6379"]}]`
	names := mustNames(t, endpoints, &fakeDNS{})
	without := mustNames(t, `{default_name: "", `+endpoints+"}", &fakeDNS{})
	for _, test := range []struct {
		role   event.Role
		server string
		want   bool
	}{
		{event.Client, "10.0.0.1:6379", true},
		{event.Client, "10.9.9.9:6379", true},
		{event.Client, "10.0.0.3:6379", false}, // ignored
		{event.Client, "10.0.0.1:6380", false}, // not observed at this end
		{event.Server, "10.0.0.2:6380", true},
		{event.Server, "10.0.0.1:6379", false},
	} {
		e := endpointsOf(test.role, test.server)
		id, found := names.Unnamed(test.role, &e)
		assert.Equal(t, test.want, found, test.server)
		if found {
			values, _ := names.Registry().Values(id)
			assert.Equal(t, []string{"default"}, values)
		}
		_, found = without.Unnamed(test.role, &e)
		assert.False(t, found, test.server)
	}
	var path event.Endpoints
	_, found := names.Resolve(event.Client, &path)
	assert.True(t, found)
	_, found = names.Unnamed(event.Client, &path)
	assert.False(t, found)
}
