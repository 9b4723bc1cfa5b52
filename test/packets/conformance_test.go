package packets

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

func TestSameNumbers(t *testing.T) {
	skipUnless(t, os.Getuid() == 0, "root")
	for _, tool := range []string{"redis-server", "redis-cli", "redis-benchmark"} {
		_, err := exec.LookPath(tool)
		skipUnless(t, err == nil, tool)
	}
	dir := t.TempDir()
	observer := filepath.Join(dir, "redis-observer")
	require.NoError(t, kit.BuildObserver(observer))
	configuration := fmt.Sprintf("ports: []\nendpoints: [{name: cache, addresses: [\"%s:%d\"]}, {name: sessions, addresses: [\"%s:%d\"]}]\ncapture: {ring_size: 64MiB}\n",
		cacheAt, redisPort, sessionsAt, redisPort)
	file := filepath.Join(dir, "traffic.pcap")
	server, err := kit.StartRedis(redisPort, "--bind", cacheAt, sessionsAt)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	probes := mustObserve(t, observer, configuration, probesPort)
	packets := mustObserve(t, observer, configuration, packetsPort, "REDIS_OBSERVER_CAPTURE_BACKEND=packet")
	dump := mustStart(t, tcpdump(t, "-Z", "root", "-i", "lo", "-B", "262144", "-w", file, "port", strconv.Itoa(redisPort)))
	require.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, patience, 50*time.Millisecond, "tcpdump")
	require.NoError(t, server.ResetStats())

	traffic(t)

	time.Sleep(2 * time.Second) // rings and tcpdump's buffer
	calls, err := server.Calls()
	require.NoError(t, err)
	want := truth(calls)
	mustEnd(t, dump)

	live, err := probes.Scrape()
	require.NoError(t, err)
	captured, err := packets.Scrape()
	require.NoError(t, err)
	replayed, err := kit.ReadSamples(strings.NewReader(mustRun(t, observer, "replay", "--config", probes.ConfigFile(), file)))
	require.NoError(t, err)
	byName := commandsIn(live)
	for name, samples := range map[string]kit.Samples{"probes": live, "packets": captured, "replay": replayed} {
		got := commandsIn(samples)
		assert.Equal(t, want, got.ofAllNames(), name)
		assert.Equal(t, byName, got, name)
		assert.Empty(t, samples.Nonzero(lossFamilies...), name)
	}
}

// traffic is all that a client may do to Redis, by clients of others and by hand.
func traffic(t *testing.T) {
	t.Helper()
	port := strconv.Itoa(redisPort)
	mustRun(t, "redis-benchmark", "-p", port, "-q", "-n", "20000", "-c", "20", "-t", "get,set,incr,lpush,lpop,mset")
	mustRun(t, "redis-benchmark", "-p", port, "-q", "-n", "100000", "-c", "20", "-P", "16", "-t", "get,set")
	mustRun(t, "redis-benchmark", "-p", port, "-q", "-n", "40", "-c", "2", "-d", "1000000", "-t", "get,set")
	mustRun(t, "redis-cli", "-p", port, "-3", "config", "get", "maxmemory")
	library(t)

	k := mustDial(t)
	k.ask(1, resp.Request("SET", "s", "text"))
	k.ask(1, resp.Request("LPUSH", "s", "x"))
	k.ask(1, resp.Request("GET"))
	k.ask(1, resp.Request("MULTI"))
	k.ask(1, resp.Request("INCR", "n"))
	k.ask(1, resp.Request("INCR", "s"))
	k.ask(3, resp.Request("EXEC"))
	for _, b := range resp.Request("GET", "n") { // byte by byte
		k.write([]byte{b})
	}
	k.read(2)

	subscriber := mustDial(t)
	subscriber.ask(12, resp.Request("SUBSCRIBE", "a", "b"))
	k.ask(1, resp.Request("PUBLISH", "a", "hello"))
	subscriber.read(7)
	subscriber.ask(12, resp.Request("UNSUBSCRIBE"))

	blocked := mustDial(t)
	blocked.write(resp.Request("BLPOP", "nothing", "0"))
	time.Sleep(200 * time.Millisecond)
	require.NoError(t, blocked.SetLinger(0))
	require.NoError(t, blocked.Close())
}

// library is a program that uses a client library: a pool of connections with RESP3, a pipeline, a transaction and a subscription.
func library(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	c := redis.NewClient(&redis.Options{
		Addr: net.JoinHostPort(sessionsAt, strconv.Itoa(redisPort)), DisableIdentity: true, // which is an error that this server does not count
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer c.Close()
	messages := c.Subscribe(ctx, "news")
	defer messages.Close()
	_, err := messages.Receive(ctx)
	require.NoError(t, err)
	_, err = c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 1000 {
			p.HSet(ctx, "session", strconv.Itoa(i), strings.Repeat("x", i))
		}
		p.HGetAll(ctx, "session") // half a megabyte
		return nil
	})
	require.NoError(t, err)
	_, err = c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Incr(ctx, "visits")
		p.Expire(ctx, "session", time.Hour)
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, c.Publish(ctx, "news", "hello").Err())
	_, err = messages.ReceiveMessage(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, c.Get(ctx, "none").Err(), redis.Nil)
}

// client writes and reads by hand.
type client struct {
	*net.TCPConn
	t *testing.T
}

func mustDial(t *testing.T) client {
	t.Helper()
	c, err := net.Dial("tcp", net.JoinHostPort(sessionsAt, strconv.Itoa(redisPort)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() }) // it may be closed
	return client{c.(*net.TCPConn), t}
}

// ask sends a request and reads a number of lines.
func (c client) ask(lines int, request []byte) {
	c.t.Helper()
	c.write(request)
	c.read(lines)
}

func (c client) write(text []byte) {
	c.t.Helper()
	_, err := c.Write(text)
	require.NoError(c.t, err)
}

// read takes exactly so many lines, one byte after the other, so that nothing of the next reply is lost.
func (c client) read(lines int) {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(patience)))
	var b [1]byte
	for lines > 0 {
		_, err := io.ReadFull(c, b[:])
		require.NoError(c.t, err)
		if b[0] == '\n' {
			lines--
		}
	}
}
