package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// testPhases lets replies lie in the socket of the client, and requests in that of the server.
func testPhases(t *testing.T, o *observer, servers []*redisServer) {
	const late = 300 * time.Millisecond
	for _, server := range servers {
		c, other := mustConnect(t, server.Port, "127.0.0.1", plain), mustConnect(t, server.Port, "127.0.0.1", plain)
		c.mustCall(t, "PING")
		family := "redis_command_client_wait_seconds"
		if server.role == "server" {
			family = "redis_command_server_queue_seconds"
			_, err := other.Write(resp.Request("DEBUG", "SLEEP", "0.4"))
			require.NoError(t, err)
			time.Sleep(400*time.Millisecond - late) // the server sleeps, and reads then
		}
		began := time.Now()
		_, err := c.Write(resp.Request("PING"))
		require.NoError(t, err)
		if server.role == "client" {
			time.Sleep(late)
		}
		_, err = resp.Read(c.reader)
		require.NoError(t, err)
		took := time.Since(began)
		labels := "{name=" + server.role + "}"
		last, err := o.Await(patience, func(s kit.Samples) bool { return s[family+labels] >= 2 })
		require.NoError(t, err)
		lay := time.Duration(last[family+"_sum"+labels] * float64(time.Second))
		assert.Greater(t, lay, late/2, server.role)
		assert.Less(t, lay, took+late/2, "%s: the other commands took next to nothing", server.role)
		assert.Zero(t, last.Sum("redis_observer_unknown_phases_total"))
	}
}
