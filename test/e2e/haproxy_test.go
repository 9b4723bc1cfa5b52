package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// haproxyRoot is where test/unpack.sh unpacks it.
const haproxyRoot = "../../.cache/haproxy"

// mustHAProxy starts HAProxy with options of its configuration, which relays connections from one port to another.
func mustHAProxy(t *testing.T, from, to int, options ...string) {
	t.Helper()
	root, err := filepath.Abs(haproxyRoot)
	require.NoError(t, err)
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path, err = exec.LookPath(root + "/usr/sbin/haproxy")
	}
	if err != nil {
		skip(t, "needs HAProxy: make test unpacks it")
	}
	config := fmt.Sprintf("defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n  %s\n"+
		"listen relay\n  bind %s:%d\n  server redis %s:%d\n", strings.Join(options, "\n  "), socketAddress, from, socketAddress, to)
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	command := exec.Command(path, "-db", "-f", file)
	libraries, err := filepath.Glob(root + "/usr/lib/*-linux-gnu*")
	require.NoError(t, err)
	command.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	output := new(strings.Builder) // read it after the process has ended
	command.Stdout, command.Stderr = output, output
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill() // an error says that it has ended
		_ = command.Wait()         // always an error: it was killed
		if t.Failed() {
			t.Logf("HAProxy:\n%s", output)
		}
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort(socketAddress, fmt.Sprint(from)))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, patience, 20*time.Millisecond, "HAProxy does not listen")
}

// HAProxy that may splice does so within values, which costs nothing. If it has to, it splices all of what follows the first bytes: then its own
// ends are connections that cannot be read, which are counted once and not with each command, and the other ends are exact.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	const connections, pings, gets = 2, 100, 5
	all := counts{"ping": connections * pings, "set": connections, "get": connections * gets}
	for _, options := range [][]string{{"option splice-auto"}, {"option splice-request", "option splice-response"}} {
		t.Run(strings.Join(options, ","), func(t *testing.T) {
			e := mustEnds(t, 2)
			relay, port := e.port(), e.port()
			mustRedis(t, "--port", fmt.Sprint(port), "--bind", socketAddress)
			mustHAProxy(t, relay, port, options...)
			for range connections {
				c := mustDial(t, net.JoinHostPort(socketAddress, fmt.Sprint(relay)))
				for range pings {
					c.mustDo("PING")
				}
				c.mustDo("SET", "key", strings.Repeat("v", 1_000_000))
				for range gets {
					c.mustDo("GET", "key")
				}
				require.NoError(t, c.Close())
			}
			spliced := connections
			if len(options) == 1 || byPackets() {
				spliced = 0
			}
			for role, o := range e.observers {
				read, passed := relay, port
				if role == "server" {
					read, passed = port, relay
				}
				name := fmt.Sprintf("port-%d", read)
				o.mustSee(role, func(s snapshot) bool { return s.commands(name).total() >= all.total() })
				s := o.mustSee("no connection left", func(s snapshot) bool { return s.value("redis_observer_tracked_connections") == 0 })
				assert.Equal(t, all, s.commands(name), role)
				assert.Equal(t, all.total(), s.sum("redis_commands_total", "name="+name, "status=success"), role)
				assert.Equal(t, spliced, s.value("redis_observer_connections_total", "kind=spliced"), role)
				if spliced > 0 {
					// Two gaps are no proof yet.
					assert.LessOrEqual(t, s.sum("redis_observer_gaps_total", "effect=broken"), 2*connections, role)
					continue
				}
				assert.Equal(t, all, s.commands(fmt.Sprintf("port-%d", passed)), role)
				assert.Empty(t, s.losses(), role)
			}
		})
	}
}
