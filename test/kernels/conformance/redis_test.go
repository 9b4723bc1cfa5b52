package conformance

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// redisServer is a running redis-server, observed at one end of its connections.
type redisServer struct {
	role    string // the end that is observed, and the name under which it is counted
	path    string // of its Unix socket, if that is observed, and not the port
	tlsPort int    // if that is observed, and not the other port
	*kit.Redis
}

// mustStartRedis starts a server. With a path, its Unix socket is observed.
func mustStartRedis(t *testing.T, role, path string, options ...string) *redisServer {
	t.Helper()
	options = append([]string{"--bind", "127.0.0.1", "::1", "--enable-debug-command", "yes", "--proto-max-bulk-len", "64mb"}, options...)
	server, err := kit.StartServerOn(exec.Command("redis-server"), mustFreePort(t), path, options...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	return &redisServer{role: role, path: path, Redis: server}
}

// address is the observed one, as in the configuration.
func (s *redisServer) address() string {
	if s.path != "" {
		return "unix:" + s.path
	}
	if s.tlsPort != 0 {
		return fmt.Sprint("*:", s.tlsPort)
	}
	return fmt.Sprint("*:", s.Port)
}

// mustConnect connects to what is observed.
func (s *redisServer) mustConnect(t *testing.T, way way) *client {
	t.Helper()
	if s.path != "" {
		return mustConnectTo(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: s.path}, way)
	}
	return mustConnect(t, s.Port, "127.0.0.1", way)
}

// otherAddresses are those at which the server is observed beside the one of mustConnect.
func (s *redisServer) otherAddresses() []string {
	if s.path != "" {
		return nil
	}
	return []string{"::1", "::ffff:127.0.0.1"}
}

// count is how often a command was called, and how often with an error.
type count struct{ calls, errors int }

// mustCount returns what the server counted since ResetStats, by label.
func (s *redisServer) mustCount(t *testing.T) map[string]count {
	t.Helper()
	calls, err := s.Calls()
	require.NoError(t, err)
	counts := make(map[string]count)
	for label, c := range calls {
		if c.Calls > 0 {
			counts[label] = count{calls: int(c.Calls), errors: int(c.Errors)}
		}
	}
	return counts
}

// observed returns what the observer counted under a name between two scrapes.
func observed(before, after kit.Samples, name string) map[string]count {
	const family = "redis_commands_total"
	errorsBefore, errorsAfter := before.By("command", family, "name="+name, "status=error"), after.By("command", family, "name="+name, "status=error")
	callsBefore := before.By("command", family, "name="+name)
	counts := make(map[string]count)
	for command, calls := range after.By("command", family, "name="+name) {
		if n := int(calls - callsBefore[command]); n != 0 {
			counts[command] = count{calls: n, errors: int(errorsAfter[command] - errorsBefore[command])}
		}
	}
	return counts
}

// losses returns the counters that say that something is missing, without those that are zero.
func losses(s kit.Samples) kit.Samples {
	lost := make(kit.Samples)
	for _, series := range s.Nonzero("redis_observer_capture_lost_events_total", "redis_observer_unpaired_commands_total",
		"redis_observer_held_overflow_total", "redis_observer_evicted_connections_total", "redis_observer_lost_connections_total",
		"redis_observer_gaps_total") {
		lost[series] = s[series]
	}
	return lost
}

// compare runs traffic and demands that both accounts of it are the same and that nothing was lost.
func compare(t *testing.T, o *observer, server *redisServer, traffic func(t *testing.T)) {
	t.Helper()
	require.NoError(t, server.ResetStats())
	before := o.mustScrape(t)
	traffic(t)
	expected := server.mustCount(t)
	var after kit.Samples
	var actual map[string]count
	kit.Wait(5*time.Second, func() bool {
		after = o.mustScrape(t)
		actual = observed(before, after, server.role)
		return assert.ObjectsAreEqual(expected, actual)
	})
	assert.Equal(t, expected, actual)
	assert.Equal(t, losses(before), losses(after), "something was lost")
}

// request encodes a command.
var request = resp.Request

// last returns the text of a reply, or of the last element of an array.
func last(r resp.Reply) string {
	if n := len(r.Elements); n > 0 {
		return last(r.Elements[n-1])
	}
	return r.Text
}
