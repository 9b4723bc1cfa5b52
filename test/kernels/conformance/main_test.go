package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// TestBackends prints one line for each backend, which ../matrix reads.
func TestBackends(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	binary := mustObserverBinary(t)
	required := strings.FieldsFunc(os.Getenv("CONFORMANCE_REQUIRED"), func(r rune) bool { return r == ',' })
	onlyRequired := len(required) > 0
	var usable []string
	for _, backend := range mustProbe(t, binary) {
		if backend.Name == "packet" {
			continue // no probe: it sees packets, and existing connections not at all
		}
		if backend.Usable {
			usable = append(usable, backend.Name)
		}
		passed := t.Run(backend.Name, func(t *testing.T) {
			if backend.Usable {
				testBackend(t, binary, backend.Name)
				return
			}
			require.NotContains(t, required, backend.Name, "this backend has to work here: %s", backend.Reason)
		})
		required = slices.DeleteFunc(required, func(name string) bool { return name == backend.Name })
		fmt.Printf("CONFORMANCE\t%s\t%s\t%s\n", backend.Name, outcome(backend.Usable, passed), backend.Reason)
		for _, way := range []struct {
			name   string
			test   func(t *testing.T, binary, backend string) (limit string)
			always bool
		}{
			{overUnix, testUnix, !onlyRequired || os.Getenv("CONFORMANCE_UNIX") != ""},
			{overTLS, testTLS, !onlyRequired},
		} {
			over := backend.Name + way.name
			if !backend.Usable || !way.always && !slices.Contains(required, over) {
				continue
			}
			limit := ""
			passed = t.Run(over, func(t *testing.T) {
				limit = way.test(t, binary, backend.Name)
				require.False(t, limit != "" && slices.Contains(required, over), "it has to work here: %s", limit)
			})
			required = slices.DeleteFunc(required, func(name string) bool { return name == over })
			fmt.Printf("CONFORMANCE\t%s\t%s\t%s\n", over, outcome(limit == "", passed), limit)
		}
	}
	t.Run("reasons", func(t *testing.T) { testReasons(t, binary, usable) })
	require.Empty(t, required, "backends that the observer does not know")
}

func outcome(usable, passed bool) string {
	switch {
	case !passed:
		return "FAIL"
	case !usable:
		return "no"
	}
	return "yes"
}

// testBackend starts with the connections that were there before the probes, and ends without the probes.
func testBackend(t *testing.T, binary, backend string) {
	servers := []*redisServer{mustStartRedis(t, "client", ""), mustStartRedis(t, "server", "")}
	var before []*client
	for _, server := range servers {
		c := mustConnect(t, server.Port, "127.0.0.1", plain)
		c.mustCall(t, "SET", "before", "1")
		before = append(before, c)
	}
	o := mustStartObserver(t, binary, backend, servers)
	time.Sleep(quiet)
	t.Run("per-CPU rings", func(t *testing.T) { testRings(t, o) })
	for i, server := range servers {
		t.Run(server.role+"/existing connection", func(t *testing.T) {
			compare(t, o, server, func(t *testing.T) { testExchanges(t, before[i]) })
		})
		t.Run(server.role, func(t *testing.T) { testTraffic(t, o, server) })
		t.Run(server.role+"/connects", func(t *testing.T) { testConnects(t, o, server) })
		t.Run(server.role+"/sockets", func(t *testing.T) { testSockets(t, o, server) })
		t.Run(server.role+"/program of 32 bits", func(t *testing.T) { testNarrow(t, o, server) })
	}
	t.Run("kinds", func(t *testing.T) { testKinds(t, o, servers) })
	t.Run("gaps", func(t *testing.T) { testGaps(t, o, servers[0]) })
	t.Run("late receive", func(t *testing.T) { testLateReceive(t, o, servers[0]) })
	t.Run("kill leaves nothing", func(t *testing.T) { testKill(t, o) })
	t.Run("phases", func(t *testing.T) { // to start takes an emulated CPU a minute
		o := mustStartObserver(t, binary, backend, servers, "env", "REDIS_OBSERVER_METRICS_PHASES=true")
		testPhases(t, o, servers)
		t.Run("stop leaves nothing", func(t *testing.T) { testStop(t, o) })
	})
	t.Run("few privileges", func(t *testing.T) { testPrivileges(t, binary, backend, servers) })
	if backend == "kprobe" {
		t.Run("no tracefs", func(t *testing.T) { testWithoutTracefs(t, binary, backend, servers) })
	}
}

// mustObserverBinary builds the observer unless it was given.
func mustObserverBinary(t *testing.T) string {
	t.Helper()
	if given := os.Getenv("CONFORMANCE_OBSERVER"); given != "" {
		return given
	}
	path := filepath.Join(t.TempDir(), "redis-observer")
	require.NoError(t, kit.BuildObserver(path))
	return path
}

type backendReport struct {
	Name   string
	Usable bool
	Reason string
}

// mustProbe asks the observer which backends work here.
func mustProbe(t *testing.T, binary string) []backendReport {
	t.Helper()
	return mustReport(t, binary, "check", "--output", "json")
}
