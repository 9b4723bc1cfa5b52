package otlp

import (
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// settled is what an export may take to arrive on a busy machine.
const settled = time.Minute

// mustPort returns a port that nobody listens on.
func mustPort(tb testing.TB) int {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// requirements skips a test where they are missing, or fails it if no test may skip.
func requirements(tb testing.TB) {
	tb.Helper()
	_, err := exec.LookPath("redis-server")
	missing := os.Getuid() != 0 || err != nil
	if missing && os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") != "" {
		require.Fail(tb, "needs root and redis-server")
	}
	if missing {
		tb.Skip("needs root and redis-server")
	}
}

var observerProgram = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "redis-observer-otlp")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "redis-observer")
	output, err := exec.Command("go", "build", "-C", "../..", "-trimpath", "-pgo=off", "-o", path, "./cmd/redis-observer").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, output)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := observerProgram(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path)) // leftovers are in the temporary directory
	}
	os.Exit(status)
}

// mustObserve starts a server and an observer with a configuration of otlp, and sends commands: 70 GET, 20 SET, 10 LPUSH that fail.
func mustObserve(tb testing.TB, metrics, otlp string) *kit.Observer {
	tb.Helper()
	requirements(tb)
	program, err := observerProgram()
	require.NoError(tb, err)
	redis, err := kit.StartRedis(mustPort(tb))
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, redis.Stop()) })
	o, err := kit.StartObserver(kit.ObserverOptions{Program: program, Port: mustPort(tb), Configuration: fmt.Sprintf(
		"ports: []\nendpoints: [{name: cache, addresses: [\"127.0.0.1:%d\"]}]\nmetrics: {%s}\notlp: {interval: 1s, %s}\n", redis.Port, metrics, otlp)})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		assert.NoError(tb, o.Stop())
		if tb.Failed() {
			tb.Log(o.Log())
		}
	})
	client, err := kit.Dial(redis.Port)
	require.NoError(tb, err)
	tb.Cleanup(func() { client.Close() })
	for command, n := range map[string]int{"GET key": 70, "SET key text": 20, "LPUSH key 1": 10} {
		if command[0] == 'L' {
			_, err := client.Do("SET", "key", "text")
			require.NoError(tb, err)
		}
		for range n {
			_, err := client.Do(strings.Fields(command)...)
			require.NoError(tb, err)
		}
	}
	_, err = o.Await(settled, func(s kit.Samples) bool { return s.Sum("redis_commands_total") == 101 })
	require.NoError(tb, err)
	return o
}

// received is what arrived: the value of each series, in the form of kit.Samples.
type received func() kit.Samples

// assertSame waits until the traffic that arrived is that of /metrics, under its names.
func assertSame(t *testing.T, o *kit.Observer, got received) {
	t.Helper()
	var wrong string
	require.Eventually(t, func() bool {
		want, err := o.Scrape()
		require.NoError(t, err)
		have, compared := got(), 0
		for series, value := range want {
			if !strings.HasPrefix(series, "redis_command") && !strings.HasPrefix(series, "redis_pool") && !strings.HasPrefix(series, "redis_observer_unpaired") {
				continue
			}
			compared++
			if other, found := have[series]; !found || math.Abs(other-value) > 1e-9 {
				wrong = fmt.Sprintf("%s is %v (%v), not %v", series, other, found, value)
				return false
			}
		}
		return compared > 20
	}, settled, 200*time.Millisecond, "%s", &lazy{&wrong})
}

// lazy is a text that is read when it is printed.
type lazy struct{ text *string }

func (l *lazy) String() string { return *l.text }

// assertConventions waits until what arrived by the conventions is what /metrics has. name turns names and attributes into those of the
// receiver.
func assertConventions(t *testing.T, o *kit.Observer, got received, name func(string) string) {
	t.Helper()
	duration := name("db.client.operation.duration")
	require.Eventually(t, func() bool {
		want, err := o.Scrape()
		require.NoError(t, err)
		have := got()
		for _, command := range []string{"get", "set", "lpush"} {
			operation := name("db.operation.name") + "=" + strings.ToUpper(command)
			if have.Sum(duration, operation) != want.Sum("redis_command_duration_seconds", "command="+command) ||
				math.Abs(have.Sum(duration+"_sum", operation)-want.Sum("redis_command_duration_seconds_sum", "command="+command)) > 1e-9 {
				return false
			}
		}
		return have.Sum(duration, name("error.type")+"=WRONGTYPE") == 10 && have.Sum(duration, name("db.operation.name")+"=GET", name("server.address")+"=127.0.0.1") == 70 &&
			have.Sum(name("db.client.connection.count"), name("db.client.connection.state")+"=idle") == 1
	}, settled, 200*time.Millisecond)
}
