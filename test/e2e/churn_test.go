package e2e

import (
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func mustConnections(tb testing.TB) int {
	tb.Helper()
	text := os.Getenv("REDIS_OBSERVER_TEST_CONNECTIONS")
	if text == "" {
		return 20000
	}
	n, err := strconv.Atoi(text)
	require.NoError(tb, err, "REDIS_OBSERVER_TEST_CONNECTIONS")
	return n
}

// Every connection says something and is reset, so that it leaves no port behind that has to wait.
func TestConnectionsComeAndGo(t *testing.T) {
	t.Parallel()
	r := mustRedis(t, "--maxclients", "2000")
	o := mustObserver(t, observing(r.Port)+roomy)
	connections := mustConnections(t)
	r.mustResetStats()
	resident := 0
	const rounds, dialers = 10, 4
	for round := range rounds {
		var group sync.WaitGroup
		for range dialers {
			group.Go(func() {
				for range connections / rounds / dialers {
					comeAndGo(t, r)
				}
			})
		}
		group.Wait()
		require.False(t, t.Failed())
		if round == 0 {
			resident = o.mustResident()
		}
	}
	s := assertTruth(t, o, r, "default", nil)
	assertExact(t, s)
	s = o.mustSee("the end of all connections, in the gauges too", func(s snapshot) bool {
		return s.value("redis_observer_tracked_connections") == 0 && s.sum("redis_pool_connections") == 0
	})
	assert.Equal(t, connections/rounds/dialers*dialers*rounds, s.value("redis_observer_connections_total", "kind=redis"))
	assert.Less(t, o.mustResident(), resident+growth, "MiB")
	t.Logf("%d connections, resident %d MiB after a tenth of them, %d MiB after all", connections, resident, o.mustResident())
}

func comeAndGo(t *testing.T, r *redis) {
	c, err := dial(r.Address())
	if !assert.NoError(t, err) {
		return
	}
	defer c.Close()
	if assert.NoError(t, c.send(request("SET", "key", "value"), request("GET", "key"))) && assert.NoError(t, c.receive(2)) {
		assert.NoError(t, c.SetLinger(0))
	}
}
