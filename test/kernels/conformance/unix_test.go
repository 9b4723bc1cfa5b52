package conformance

import (
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// overUnix is behind the name of a backend where that is to observe Unix sockets.
const overUnix = "/unix"

var unixLimit = regexp.MustCompile(`Unix sockets of the configuration are not observed.* error="([^"]*)"`)

// testUnix has the traffic of TCP on Unix sockets. It returns why the backend does not observe them, "" if it does.
func testUnix(t *testing.T, binary, backend string) (limit string) {
	folder := t.TempDir()
	servers := []*redisServer{
		mustStartRedis(t, "client", filepath.Join(folder, "client.sock")), mustStartRedis(t, "server", filepath.Join(folder, "server.sock")),
	}
	var before []*client
	for _, server := range servers {
		c := server.mustConnect(t, plain)
		c.mustCall(t, "SET", "before", "1")
		before = append(before, c)
	}
	o := mustStartObserver(t, binary, backend, servers)
	if match := unixLimit.FindStringSubmatch(o.Log()); match != nil {
		return match[1]
	}
	time.Sleep(quiet)
	for i, server := range servers {
		t.Run(server.role+"/existing connection", func(t *testing.T) {
			assert.Equal(t, 1.0, o.mustScrape(t).Sum("redis_pool_connections", "name="+server.role))
			compare(t, o, server, func(t *testing.T) { testExchanges(t, before[i]) })
		})
		t.Run(server.role, func(t *testing.T) { testTraffic(t, o, server) })
		t.Run(server.role+"/ends", func(t *testing.T) {
			before[i].close()
			eventually(t, func() bool { return o.mustScrape(t).Sum("redis_pool_connections", "name="+server.role) == 0 }, "a connection stays")
		})
	}
	t.Run("stop leaves nothing", func(t *testing.T) { testStop(t, o) })
	require.NotContains(t, o.Log(), "panic")
	return ""
}
