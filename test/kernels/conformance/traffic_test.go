package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// testTraffic sends the same exchanges in every way and over every kind of address.
func testTraffic(t *testing.T, o *observer, server *redisServer) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			compare(t, o, server, func(t *testing.T) { testExchanges(t, server.mustConnect(t, way)) })
		})
	}
	if o.backend != "tracepoint" || server.role == "server" {
		t.Run(ringed.name, func(t *testing.T) {
			compare(t, o, server, func(t *testing.T) { testExchanges(t, server.mustConnect(t, ringed)) })
		})
	}
	for _, address := range server.otherAddresses() {
		t.Run(address, func(t *testing.T) {
			compare(t, o, server, func(t *testing.T) { testExchanges(t, mustConnect(t, server.Port, address, plain)) })
		})
	}
	for _, test := range []struct {
		name    string
		traffic func(*testing.T, *redisServer)
	}{
		{"short sends", testShortSends},
		{"blocked threads", testBlockedThreads},
		{"many connections", testManyConnections},
	} {
		t.Run(test.name, func(t *testing.T) {
			compare(t, o, server, func(t *testing.T) { test.traffic(t, server) })
		})
	}
	t.Run("close with a command outstanding", func(t *testing.T) { testOutstanding(t, o, server) })
}

// testExchanges is the conversation that each connection has: single commands, errors, a pipeline, and a big value.
func testExchanges(t *testing.T, c *client) {
	t.Helper()
	assert.Equal(t, "OK", c.mustCall(t, "SET", "key", "value"))
	assert.Equal(t, "value", c.mustCall(t, "GET", "key"))
	assert.Contains(t, c.mustCall(t, "LPUSH", "key", "x"), "WRONGTYPE")
	assert.Contains(t, c.mustCall(t, "GET"), "wrong number")
	assert.Equal(t, "notify-keyspace-events", c.mustCall(t, "CONFIG", "GET", "notify-keyspace-events")+"notify-keyspace-events")

	// Less than the observer copies of one call: a longer pipeline in one write is a gap by design.
	const depth = 250
	var pipeline bytes.Buffer
	for i := range depth {
		pipeline.Write(request("SET", fmt.Sprint("key:", i), strings.Repeat("v", i%100)))
		pipeline.Write(request("HGET", "key", "field"))
	}
	_, err := c.Write(pipeline.Bytes())
	require.NoError(t, err)
	for range depth {
		require.Equal(t, "OK", c.mustReply(t))
		require.Contains(t, c.mustReply(t), "WRONGTYPE")
	}

	// With bytes that look like a request, over the bound of what is copied of one call.
	big := strings.Repeat("*1\r\n$4\r\nPING\r\n", 1<<20/14)
	require.Equal(t, "OK", c.mustCall(t, "SET", "big", big))
	require.Equal(t, big, c.mustCall(t, "GET", "big"))
	assert.Equal(t, "value", c.mustCall(t, "GET", "key"))
}

// testShortSends fills the socket's buffer while the server sleeps, so that sends are taken in part or refused.
func testShortSends(t *testing.T, server *redisServer) {
	c := server.mustConnect(t, ways[len(ways)-1])
	const depth = 3000
	pipeline := bytes.NewBuffer(request("DEBUG", "SLEEP", "0.2"))
	for range depth {
		pipeline.Write(request("SET", "key", strings.Repeat("v", 1000)))
	}
	// Each call sends less than the observer copies of one: a server that keeps up with a call leaves none of it to the next.
	for part := range slices.Chunk(pipeline.Bytes(), 512<<10) {
		_, err := c.Write(part)
		require.NoError(t, err)
	}
	for range depth + 1 {
		require.Equal(t, "OK", c.mustReply(t))
	}
	assert.NotZero(t, c.short, "no send was short")
}

// testBlockedThreads has more threads in blocking receives than a return probe follows by default.
func testBlockedThreads(t *testing.T, server *redisServer) {
	const threads = 24
	var waiting sync.WaitGroup
	for i := range threads {
		c := server.mustConnect(t, plain)
		_, err := c.Write(request("BLPOP", fmt.Sprint("list:", i), "0"))
		require.NoError(t, err)
		waiting.Go(func() {
			reply, err := resp.Read(c.reader)
			assert.NoError(t, err)
			assert.Equal(t, "element", last(reply))
		})
	}
	c := server.mustConnect(t, plain)
	for i := range threads {
		require.Equal(t, "1", c.mustCall(t, "RPUSH", fmt.Sprint("list:", i), "element"))
	}
	waiting.Wait()
}

func testManyConnections(t *testing.T, server *redisServer) {
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			for range 4 {
				c := server.mustConnect(t, ways[i%len(ways)])
				for range 20 {
					c.mustCall(t, "INCR", "counter")
				}
				c.close()
			}
		})
	}
	running.Wait()
}

// testOutstanding closes a connection whose command never gets a reply. The server does not count it; the client gave it up, which is no error.
func testOutstanding(t *testing.T, o *observer, server *redisServer) {
	before := o.mustScrape(t)
	c := server.mustConnect(t, plain)
	_, err := c.Write(request("BLPOP", "nothing", "0"))
	require.NoError(t, err)
	inUse := fmt.Sprintf("redis_pool_connections{name=%s,state=in_use}", server.role)
	eventually(t, func() bool { return o.mustScrape(t)[inUse] == 1 }, "the connection is not in use")
	c.close()
	var counts map[string]count
	eventually(t, func() bool {
		counts = observed(before, o.mustScrape(t), server.role)
		return counts["blpop"] == count{calls: 1}
	}, "the command was not counted as given up: %v", counts)
	assert.Zero(t, o.mustScrape(t)[inUse])
}
