package naming

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
)

// A Service names its own addresses and those of its pods, at ports that nobody wrote down.
func TestServices(t *testing.T) {
	names := mustNames(t, `
ports: []
endpoints:
  - {name: cache, addresses: ["service://shop/cache:6379"]}
  - {name: exact, addresses: ["10.244.1.9:7000"]}
`, &fakeDNS{})
	assert.Equal(t, []string{"shop/cache"}, names.Services())
	assert.Equal(t, []uint16{7000}, names.ClientPorts())
	version := names.Version()
	at := func(texts ...string) map[uint16][]netip.AddrPort {
		var list []netip.AddrPort
		for _, text := range texts {
			list = append(list, netip.MustParseAddrPort(text))
		}
		return map[uint16][]netip.AddrPort{6379: list, 9000: {netip.MustParseAddrPort("10.96.0.10:9000")}}
	}
	names.SetService("shop/cache", at("10.96.0.10:6379", "10.244.1.5:7000", "10.244.1.9:7000"))
	assert.True(t, moved(names))
	assert.Greater(t, names.Version().Table, version.Table)
	assert.Equal(t, version.Rules, names.Version().Rules)
	assert.Equal(t, []uint16{6379, 7000}, names.ClientPorts(), "not those of the Service's other ports")
	assert.Equal(t, "cache", nameOf(names, event.Client, "10.96.0.10:6379"))
	assert.Equal(t, "cache", nameOf(names, event.Client, "10.244.1.5:7000"))
	assert.Equal(t, "exact", nameOf(names, event.Client, "10.244.1.9:7000"))
	assert.Equal(t, OfService, names.Explain(event.Client, netip.MustParseAddrPort("10.244.1.5:7000")).Reason)

	names.SetService("shop/cache", at("10.96.0.10:6379", "10.244.1.6:7000"))
	assert.False(t, moved(names), "the ports are the same")
	assert.Equal(t, "default", nameOf(names, event.Client, "10.244.1.5:7000"))
	names.SetService("shop/other", at("10.96.0.11:6379"))
	assert.False(t, moved(names), "not in the rules")
	names.ServiceFailed("shop/cache")
	assert.Equal(t, map[string]uint64{"shop/cache": 1}, names.ServiceFailures())
	assert.Equal(t, "cache", nameOf(names, event.Client, "10.244.1.6:7000"), "a failure changes nothing")
}

// moved reports whether the observed ports changed.
func moved(names *Names) bool {
	select {
	case <-names.Moved():
		return true
	default:
		return false
	}
}
