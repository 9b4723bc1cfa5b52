package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

const phased = "metrics:\n  phases: true\n" + roomy

// sides are observers of both ends of connections, with phases.
type sides struct{ client, server *observer }

func mustObserveEnds(t *testing.T, port int) sides {
	t.Helper()
	return sides{mustObserver(t, observing(port)+phased), mustObserver(t, serving(port)+phased)}
}

// mustSee returns what is seen at the client and at the server when they have n pings.
func (e sides) mustSee(n int) (client, server snapshot) {
	pings := func(s snapshot) bool { return s.sum("redis_commands_total", "command=ping") == n }
	return e.client.mustSee("commands of the client", pings), e.server.mustSee("commands of the server", pings)
}

// span is a time that lies between two others, which a test can measure from outside of the kernel.
type span struct{ least, most time.Duration }

// plus adds a further time that began in one call and ended in another.
func (s *span) plus(began, beganAtLatest, ended, endedAtLatest time.Time) {
	s.least += max(0, ended.Sub(beganAtLatest))
	s.most += endedAtLatest.Sub(began)
}

// call is a socket call, from before it to after it.
type call struct{ before, after time.Time }

func during(do func()) (c call) {
	c.before = time.Now()
	do()
	c.after = time.Now()
	return c
}

// mustJoin connects to a listener, and returns both ends.
func mustJoin(t *testing.T, listener net.Listener) (client, server net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	server, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	return client, server
}

// pings are the socket calls of one command.
type pings struct{ ask, take, answer, get call }

// mustPing sends n commands over one connection, between a client and a server that are late in three ways.
func mustPing(t *testing.T, listener net.Listener, n int, lateServer, slowServer, lateClient time.Duration) []pings {
	t.Helper()
	client, server := mustJoin(t, listener)
	var err error

	request, reply := resp.Request("PING"), []byte("+PONG\r\n")
	done, asked, answered := make([]pings, n), make(chan struct{}), make(chan struct{})
	served := make(chan error, 1)
	go func() {
		buffer := make([]byte, len(request))
		for i := range done {
			if lateServer > 0 {
				<-asked
				time.Sleep(lateServer)
			}
			var err error
			done[i].take = during(func() { _, err = io.ReadFull(server, buffer) })
			time.Sleep(slowServer)
			done[i].answer = during(func() { _, _ = server.Write(reply) })
			if lateClient > 0 {
				answered <- struct{}{}
			}
			if err != nil {
				served <- err
				return
			}
		}
		served <- nil
	}()
	buffer := make([]byte, len(reply))
	for i := range done {
		done[i].ask = during(func() { _, err = client.Write(request) })
		require.NoError(t, err)
		if lateServer > 0 {
			asked <- struct{}{}
		}
		if lateClient > 0 {
			<-answered
			time.Sleep(lateClient)
		}
		done[i].get = during(func() { _, err = io.ReadFull(client, buffer) })
		require.NoError(t, err)
	}
	require.NoError(t, <-served)
	return done
}

// Where the time of a command went is told apart: what lay in the socket of the server, what the server took, and what lay in the
// socket of the client. The rest, the way, is next to nothing here, so that the parts add up to the duration.
func TestPhases(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show when a program reads them")
	listener := mustListener(t)
	defer listener.Close()
	o := mustObserveEnds(t, listener.Addr().(*net.TCPAddr).Port)
	const n, late = 200, 5 * time.Millisecond
	var before [2]snapshot // of the client and of the server, at the end of the last subtest
	for i, test := range []struct {
		name                               string
		lateServer, slowServer, lateClient time.Duration
	}{
		{"nobody", 0, 0, 0},
		{"the server reads late", late, 0, 0},
		{"the server takes long", 0, late, 0},
		{"the client reads late", 0, 0, late},
	} {
		t.Run(test.name, func(t *testing.T) {
			done := mustPing(t, listener, n, test.lateServer, test.slowServer, test.lateClient)
			client, server := o.mustSee((i + 1) * n)
			assertExact(t, client)
			assertExact(t, server)

			var queue, wait, own, duration span
			for _, p := range done {
				queue.plus(p.ask.before, p.ask.after, p.take.before, p.take.after)
				own.plus(p.take.before, p.take.after, p.answer.before, p.answer.after)
				wait.plus(p.answer.before, p.answer.after, p.get.before, p.get.after)
				duration.plus(p.ask.before, p.ask.after, p.get.before, p.get.after)
			}
			mean := func(s, before snapshot, family string, labels ...string) time.Duration {
				labels = append(labels, "name=default")
				require.Equal(t, n, s.value(family, labels...)-before.value(family, labels...), "%s:\n%s", family, s)
				sum := series(family+"_sum", labels...)
				return time.Duration((s[sum] - before[sum]) * float64(time.Second) / n)
			}
			within := func(what string, got time.Duration, truth span) {
				t.Logf("%s: %s, must be between %s and %s", what, got, truth.least/n, truth.most/n)
				assert.GreaterOrEqual(t, got, truth.least/n-time.Microsecond, what)
				assert.LessOrEqual(t, got, truth.most/n+time.Microsecond, what)
			}
			parts := []time.Duration{
				mean(server, before[1], "redis_command_server_queue_seconds"),
				mean(server, before[1], "redis_command_duration_seconds", "command=ping"),
				mean(client, before[0], "redis_command_client_wait_seconds"),
			}
			whole := mean(client, before[0], "redis_command_duration_seconds", "command=ping")
			before = [2]snapshot{client, server}
			within("lay at the server", parts[0], queue)
			within("the server took", parts[1], own)
			within("lay at the client", parts[2], wait)
			within("duration", whole, duration)
			way := whole - parts[0] - parts[1] - parts[2]
			t.Logf("rest: %s", way)
			assert.GreaterOrEqual(t, way, time.Duration(0), "no part is counted twice")
			var calls time.Duration // on loopback the bytes arrive in the call that sends them, or soon after it
			for _, p := range done {
				calls += p.ask.after.Sub(p.ask.before) + p.answer.after.Sub(p.answer.before)
			}
			assert.LessOrEqual(t, way, calls/n+200*time.Microsecond, "the parts add up to the duration")
			assert.Zero(t, client.sum("redis_observer_unknown_phases_total")+server.sum("redis_observer_unknown_phases_total"))
			assert.Empty(t, server.only("redis_command_client_wait_seconds"))
			assert.Empty(t, client.only("redis_command_server_queue_seconds"))
		})
	}
}

// only returns the series of a family.
func (s snapshot) only(family string) (keys []string) {
	for key := range s {
		if strings.HasPrefix(key, family) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Each command of a pipeline has the time of its own bytes, however they came and however they are read.
func TestPhasesOfPipelines(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show when a program reads them")
	listener := mustListener(t)
	defer listener.Close()
	o := mustObserveEnds(t, listener.Addr().(*net.TCPAddr).Port)
	client, server := mustJoin(t, listener)
	var err error

	// Ten segments, a step apart, each with the end of a request and the start of the next; all are read at once.
	const n, step = 10, 20 * time.Millisecond
	request, reply := resp.Request("PING"), []byte("+PONG\r\n")
	stream := func(message []byte) (chunks [][]byte) {
		all, at := bytes.Repeat(message, n), 0
		for i := range n {
			end := min(len(all), (i+1)*len(message)+3)
			chunks = append(chunks, all[at:end])
			at = end
		}
		return chunks
	}
	pass := func(from, to net.Conn, message []byte) (truth span) {
		var sent []call
		for _, chunk := range stream(message) {
			sent = append(sent, during(func() { _, err = from.Write(chunk) }))
			require.NoError(t, err)
			time.Sleep(step)
		}
		read := during(func() { _, err = io.ReadFull(to, make([]byte, n*len(message))) })
		require.NoError(t, err)
		for _, c := range sent {
			truth.plus(c.before, c.after, read.before, read.after)
		}
		return truth
	}
	queue := pass(client, server, request)
	wait := pass(server, client, reply)
	atClient, atServer := o.mustSee(n)
	for _, test := range []struct {
		s      snapshot
		family string
		truth  span
	}{
		{atServer, "redis_command_server_queue_seconds", queue},
		{atClient, "redis_command_client_wait_seconds", wait},
	} {
		assertExact(t, test.s)
		assert.Zero(t, test.s.sum("redis_observer_unknown_phases_total"))
		require.Equal(t, n, test.s.value(test.family, "name=default"), "%s", test.s)
		got := time.Duration(test.s[series(test.family+"_sum", "name=default")] * float64(time.Second))
		t.Logf("%s: %s, must be between %s and %s", test.family, got, test.truth.least, test.truth.most)
		assert.GreaterOrEqual(t, got, test.truth.least-10*time.Microsecond)
		assert.LessOrEqual(t, got, test.truth.most+10*time.Microsecond)
	}
}

// What is not known is left out and counted: more segments than are remembered, plaintext, and Unix sockets.
func TestUnknownPhases(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show when a program reads them")
	t.Run("more segments than are remembered", func(t *testing.T) {
		t.Parallel()
		listener := mustListener(t)
		defer listener.Close()
		o := mustObserveEnds(t, listener.Addr().(*net.TCPAddr).Port)
		client, server := mustJoin(t, listener)
		var err error
		const n = 40
		request := resp.Request("PING")
		for range n {
			_, err = client.Write(request)
			require.NoError(t, err)
			time.Sleep(time.Millisecond)
		}
		_, err = io.ReadFull(server, make([]byte, n*len(request)))
		require.NoError(t, err)
		_, err = server.Write(bytes.Repeat([]byte("+PONG\r\n"), n))
		require.NoError(t, err)
		_, err = io.ReadFull(client, make([]byte, n*7))
		require.NoError(t, err)
		atClient, atServer := o.mustSee(n)
		known, unknown := atServer.value("redis_command_server_queue_seconds", "name=default"), atServer.value("redis_observer_unknown_phases_total", "name=default", "reason=arrival")
		assert.Equal(t, n, known+unknown)
		assert.GreaterOrEqual(t, known, 15, "the latest ones; a segment has several where the network is not ready for more")
		assert.Positive(t, unknown)
		assert.Equal(t, n, atClient.value("redis_command_client_wait_seconds", "name=default"))
	})
	t.Run("tls", func(t *testing.T) {
		t.Parallel()
		r := mustTLSRedis(t)
		o := mustObserver(t, serving(r.tlsPort)+phased)
		client := goredis.NewClient(&goredis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", r.tlsPort), TLSConfig: r.certificate.ClientConfig(), DisableIdentity: true, Protocol: 2, PoolSize: 1})
		defer client.Close()
		s := o.mustSee("plaintext", func(s snapshot) bool {
			require.NoError(t, client.Ping(context.Background()).Err())
			return s.sum("redis_commands_total", "command=ping") > 0
		})
		assert.Positive(t, s.value("redis_observer_unknown_phases_total", "name=default", "reason=tls"))
		assert.Zero(t, s.sum("redis_command_server_queue_seconds"))
	})
	t.Run("unix", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "redis.sock")
		mustRedisOn(t, path)
		o := mustObserver(t, fmt.Sprintf("metrics:\n  phases: true\nports: []\nendpoints:\n  - {name: at-server, addresses: [\"unix:%s\"], role: server}\n", path))
		client := goredis.NewClient(&goredis.Options{Network: "unix", Addr: path, DisableIdentity: true, Protocol: 2})
		defer client.Close()
		require.NoError(t, client.Ping(context.Background()).Err())
		s := o.mustSee("the command", func(s snapshot) bool { return s.sum("redis_commands_total", "command=ping") == 1 })
		assert.Equal(t, s.sum("redis_commands_total"), s.value("redis_observer_unknown_phases_total", "name=at-server", "reason=unix"))
		assert.Zero(t, s.sum("redis_command_server_queue_seconds"))
	})
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		r := mustRedis(t)
		o := mustObserver(t, observing(r.Port))
		c := mustDial(t, r.Address())
		c.mustDo("PING")
		s := o.mustSee("the command", func(s snapshot) bool { return s.sum("redis_commands_total", "command=ping") == 1 })
		assert.Empty(t, s.only("redis_command_client_wait_seconds"))
		assert.Empty(t, s.only("redis_observer_unknown_phases"))
	})
}

// Packets say that they do not show it, and there are no families.
func TestPhasesByPackets(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port)+"metrics:\n  phases: true\ncapture:\n  backend: packet\n")
	mustDial(t, r.Address()).mustDo("PING")
	s := o.mustSee("the command", func(s snapshot) bool { return s.sum("redis_commands_total", "command=ping") == 1 })
	assert.Empty(t, s.only("redis_command_client_wait_seconds"))
	assert.Empty(t, s.only("redis_observer_unknown_phases"))
	assert.Contains(t, o.Log(), "metrics.phases")
}

// What came behind a segment that was lost becomes readable when that one was sent again, and not before.
func TestPhasesBehindALoss(t *testing.T) {
	if os.Getenv(builtVariable) == "" {
		t.Parallel()
		RequireProbes(t, "packets do not show when a program reads them")
		if _, err := exec.LookPath("nft"); err != nil {
			skip(t, "needs nft: apt-get install nftables")
		}
		runElsewhere(t, "TestPhasesBehindALoss")
		return
	}
	mustRaiseLoopback(t)
	listener := mustListener(t)
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	o := mustObserver(t, serving(port)+phased)
	client, server := mustJoin(t, listener)
	var err error

	mustRunAll(t, [][]string{{"nft", fmt.Sprintf("table ip lossy { chain in { type filter hook input priority 0; tcp dport %d meta length 300-600 drop; }; }", port)}})
	short, long := resp.Request("PING", "a"), resp.Request("PING", strings.Repeat("a", 300))
	requests := [][]byte{short, short, long, short, short}
	end := 0
	var ends []int
	sending := time.Now()
	for _, request := range requests {
		_, err = client.Write(request)
		require.NoError(t, err)
		end += len(request)
		ends = append(ends, end)
		time.Sleep(5 * time.Millisecond)
	}
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		time.Sleep(30 * time.Millisecond)
		mustRunAll(t, [][]string{{"nft", "delete table ip lossy"}})
	}()
	// readable is when each request became so: after it was not yet, and before it was.
	readable := make([]call, len(ends))
	began := time.Now()
	for i := range readable {
		readable[i].before = began.Add(-time.Second)
	}
	for seen := 0; seen < end; time.Sleep(200 * time.Microsecond) {
		before := time.Now()
		seen = mustReadable(t, server)
		after := time.Now()
		for i, end := range ends {
			switch {
			case seen < end:
				readable[i].before = before
			case readable[i].after.IsZero():
				readable[i].after = after
			}
		}
		require.Less(t, time.Since(began), 20*time.Second)
	}
	<-flushed
	require.Greater(t, readable[2].after.Sub(began), 20*time.Millisecond, "it was lost")
	time.Sleep(20 * time.Millisecond)
	read := during(func() { _, err = io.ReadFull(server, make([]byte, end)) })
	require.NoError(t, err)
	_, err = server.Write(bytes.Repeat([]byte("+PONG\r\n"), len(ends)))
	require.NoError(t, err)
	s := o.mustSee("all commands", func(s snapshot) bool { return s.sum("redis_commands_total", "command=ping") == len(ends) })
	assertExact(t, s)
	var behind span
	for _, r := range readable[2:] {
		behind.plus(r.before, r.after, read.before, read.after)
	}
	assert.Zero(t, s.sum("redis_observer_unknown_phases_total"))
	assert.Equal(t, len(ends), s.sum("redis_command_server_queue_seconds"))
	got := time.Duration(s[series("redis_command_server_queue_seconds_sum", "name=default")] * float64(time.Second))
	assert.GreaterOrEqual(t, got, behind.least+2*read.before.Sub(began), "the first two became readable while all were sent")
	assert.LessOrEqual(t, got, behind.most+2*read.after.Sub(sending))
}

// mustReadable returns how many bytes can be read from a connection.
func mustReadable(t *testing.T, c net.Conn) (n int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }))
	require.NoError(t, err)
	return n
}
