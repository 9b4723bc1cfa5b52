package conformance

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// testConnects compares what opened with what the server received, who closed, and what was refused.
// All of it hangs on the order of steps in the kernel.
func testConnects(t *testing.T, o *observer, server *redisServer) {
	const connections = 20
	before := o.mustScrape(t)
	for i := range connections {
		c, err := kit.Dial(server.Port)
		require.NoError(t, err)
		if i%2 == 0 { // the server closes
			_, err = c.Do("QUIT")
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			require.Error(t, err)
		}
		require.NoError(t, c.Close())
		_, err = net.Dial("tcp", net.JoinHostPort("127.0.0.2", strconv.Itoa(server.Port))) // where nobody listens
		require.Error(t, err)
	}
	type lives struct{ opened, byClient, byServer, byNetwork, timed, refused, failed float64 }
	counted := func(s kit.Samples) lives {
		sum := func(family string, labels ...string) float64 {
			labels = append(labels, "name="+server.role)
			return s.Sum(family, labels...) - before.Sum(family, labels...)
		}
		return lives{
			sum("redis_connections_opened_total"), sum("redis_connections_closed_total", "by=client"),
			sum("redis_connections_closed_total", "by=server"), sum("redis_connections_closed_total", "by=network"),
			sum("redis_connect_duration_seconds"), sum("redis_connect_failures_total", "reason=refused"), sum("redis_connect_failures_total"),
		}
	}
	want := lives{opened: connections, byClient: connections / 2, byServer: connections / 2}
	if server.role == "client" {
		want.timed, want.refused, want.failed = connections, connections, connections
	}
	last, err := o.Await(patience, func(s kit.Samples) bool { return counted(s) == want })
	require.NoError(t, err)
	assert.Equal(t, want, counted(last))
	took := last["redis_connect_duration_seconds_sum{name="+server.role+"}"]
	assert.Equal(t, server.role == "client", took > 0 && took < patience.Seconds(), "took %v in all", time.Duration(took*float64(time.Second)))
}
