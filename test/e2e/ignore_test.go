package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/kube/kubetest"
	"github.com/redis-observer/redis-observer/test/kit"
)

// Processes and units that are ignored are not counted, others on the same server are.
func TestIgnoredOwners(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	exporter, app := mustProgramNamed(t, "redis_exporter"), mustProgramNamed(t, "shop-web")
	unit, outside := mustCgroup(t, "system.slice/relay@a.service"), mustCgroup(t, "system.slice/kiosk.service")
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port)+`
ignore:
  processes:
    - "*_exporter"
  units:
    - relay@*.service
`)
	const each = 10
	for range each {
		for _, side := range []struct {
			cgroup           int
			program, command string
		}{{outside, exporter, "TTL"}, {unit, app, "LLEN"}, {outside, app, "GET"}} {
			out, err := inCgroup(side.cgroup, side.program, "-p", strconv.Itoa(r.Port), side.command, "key").CombinedOutput()
			require.NoError(t, err, "%s", out)
		}
	}
	o.assertCommands("default", counts{"get": each})
	s := o.mustScrape()
	assert.Equal(t, each, s.sum("redis_observer_ignored_connections_total", "by=process"))
	assert.Equal(t, each, s.sum("redis_observer_ignored_connections_total", "by=unit"))
	assert.Zero(t, s.sum("redis_observer_ignored_connections_total", "by=namespace"))
	assert.Equal(t, each, s.sum("redis_observer_connections_total", "kind=redis"))
	assertExact(t, s)
}

// A client and its relay count once, and a connection that is older than the observer is left out with
// its next call.
func TestIgnoredRelay(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	r, from := mustRedis(t, "--bind", socketAddress), mustPort(t)
	mustHAProxy(t, from, r.Port)
	client := mustDial(t, fmt.Sprintf("%s:%d", socketAddress, from))
	client.mustDo("PING") // its relay is connected
	both := observing(r.Port, from)
	o := mustObserver(t, both+"ignore:\n  processes:\n    - haproxy\n")
	twice := mustObserver(t, both)
	time.Sleep(200 * time.Millisecond) // so that the next request is known to be the only one outstanding
	for range 50 {
		client.mustDo("GET", "key")
		require.NoError(t, exec.Command("redis-cli", "-h", socketAddress, "-p", strconv.Itoa(from), "GET", "key").Run())
	}
	twice.assertCommands("default", counts{"get": 200})
	o.assertCommands("default", counts{"get": 100})
	o.mustSeePool("default", 1, 0)
	s := o.mustScrape()
	assert.Equal(t, 51, s.sum("redis_observer_ignored_connections_total", "by=process"))
	assertExact(t, s)

	o.mustConfigure(both + "ignore:\n  processes: []\n")
	o.mustSee("the remark", func(snapshot) bool {
		return strings.Contains(o.Log(), "some changes take effect after a restart") && strings.Contains(o.Log(), "keys=[ignore]")
	})
	client.mustDo("GET", "key")
	o.assertCommands("default", counts{"get": 101})
}

// Programs in pods of a namespace are left out as soon as their pod is known, the others are not.
func TestIgnoredNamespaces(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	api := kubetest.Serve(t)
	pod := func(digit string) (object string, cgroup int) {
		uid, slice := podUID(digit)
		id := strings.Repeat(digit, 64)
		object = kubetest.Pod("node-1", uid, "pod-"+digit, "", [2]string{"app", id})
		return object, mustCgroup(t, podCgroup(slice, id))
	}
	relay, inRelay := pod("7")
	late, inLate := pod("8")
	app, inApp := pod("9")
	relay, late = strings.Replace(relay, `"shop"`, `"istio-system"`, 1), strings.Replace(late, `"shop"`, `"istio-system"`, 1)
	require.Contains(t, relay, `"istio-system"`)
	api.Set(kubetest.Pods, "["+relay+","+app+"]")
	r := mustRedis(t)
	o := mustPreparedObserver(t, raceBinary, observing(r.Port)+`
ignore:
  namespaces:
    - istio-*
`, asNode(t, api, "node-1"))
	run := func(cgroup int, command string) {
		out, err := inCgroup(cgroup, "redis-cli", "-p", strconv.Itoa(r.Port), command, "key").CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	const each = 10
	for range each {
		run(inRelay, "TTL")
		run(inApp, "GET")
	}
	o.assertCommands("default", counts{"get": each})
	assert.Equal(t, each, o.mustScrape().sum("redis_observer_ignored_connections_total", "by=namespace"))

	send := mustType(t, inCgroup(inLate, "redis-cli", "-p", strconv.Itoa(r.Port)))
	send("ECHO early") // behind what redis-cli asks for by itself
	o.assertCommands("default", counts{"get": each, "echo": 1, "command_docs": 1})
	api.Send(kubetest.Pods, `{"type": "ADDED", "object": `+late+`}`)
	o.mustSee("its pod", func(s snapshot) bool {
		return s.sum("redis_observer_ignored_connections_total", "by=namespace") == each+1
	})
	send("ECHO late")
	run(inLate, "LLEN")
	run(inApp, "TYPE")
	o.assertCommands("default", counts{"get": each, "echo": 1, "command_docs": 1, "type": 1})
	assertExact(t, o.mustScrape())
	for _, request := range api.Requests() {
		assert.Contains(t, request, "spec.nodeName%3Dnode-1", "never of the whole cluster")
	}
	api.Refuse(http.StatusForbidden)
	api.CloseClientConnections()
	run(inRelay, "STRLEN")
	run(inApp, "TYPE")
	o.assertCommands("default", counts{"get": each, "echo": 1, "command_docs": 1, "type": 2})
}

// Where packets are captured nobody can be left out by name, which the log and check say.
func TestIgnoreOfPackets(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	config := observing(r.Port) + "capture:\n  backend: packet\nignore:\n  processes:\n    - redis-cli\n"
	o := mustObserver(t, config)
	require.NoError(t, exec.Command("redis-cli", "-p", strconv.Itoa(r.Port), "GET", "key").Run())
	o.assertCommands("default", counts{"get": 1})
	const note = "ignore: nobody is left out, because packets do not show who has a connection (leave out addresses, by role: ignore)"
	assert.Contains(t, o.Log(), note)
	file := filepath.Join(t.TempDir(), "observer.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o644))
	check := exec.Command(raceBinary, "check", "--config", file)
	check.Env = kit.Environment()
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Regexp(t, `(?m)^ignored processes +redis-cli$`, string(out))
	assert.Contains(t, string(out), note)
}
