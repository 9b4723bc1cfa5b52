package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/kube/kubetest"
)

// inPod makes an observer find an API server as in a pod. The service account is mounted in a mount
// namespace of its own.
func inPod(tb testing.TB, api *kubetest.Server) func(*exec.Cmd) {
	tb.Helper()
	return inPodOf(tb, api.URL, api.Account(tb))
}

// inPodOf is inPod for any API server, with the files of a service account in a folder.
func inPodOf(tb testing.TB, api, account string) func(*exec.Cmd) {
	tb.Helper()
	at, err := url.Parse(api)
	require.NoError(tb, err)
	return func(c *exec.Cmd) {
		const script = `mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io && cp -r "$0" /run/secrets/kubernetes.io/serviceaccount &&
			chmod 755 /run /run/secrets/kubernetes.io/serviceaccount && exec "$@"`
		in := exec.Command("/bin/sh", append([]string{"-c", script, account}, c.Args...)...)
		c.Path, c.Args = in.Path, in.Args
		c.Env = append(c.Env, "KUBERNETES_SERVICE_HOST="+at.Hostname(), "KUBERNETES_SERVICE_PORT="+at.Port())
		c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
}

// A Service names connections to its own address and, as sockets show behind the load balancing of
// Cilium and Calico, to a pod at its target port, which is configured nowhere.
func TestService(t *testing.T) {
	t.Parallel()
	RequireObserver(t)
	if err := unshareable(); err != nil {
		skip(t, "needs CAP_SYS_ADMIN to mount a service account: "+err.Error())
	}
	own, pod := mustRedis(t, "--bind", "127.96.0.10"), mustRedis(t, "--bind", "127.244.0.1 127.244.0.2")
	api := kubetest.Serve(t)
	api.Set(kubetest.Services, fmt.Sprintf(`[{"metadata": {"name": "cache"}, "spec": {"clusterIPs": ["127.96.0.10"], "ports": [{"name": "redis", "port": %d}]}}]`, own.Port))
	o := mustPreparedObserver(t, raceBinary, fmt.Sprintf("ports: []\ndefault_name: ''\nendpoints: [{name: cache, addresses: ['service://shop/cache:%d']}]\n", own.Port), inPod(t, api))
	do := func(command, host string, port, times int) {
		c := mustDial(t, fmt.Sprintf("%s:%d", host, port))
		for range times {
			c.mustDo(command, "key")
		}
	}
	require.Eventually(t, func() bool {
		do("TTL", "127.96.0.10", own.Port, 1)
		return o.mustScrape().commands("cache")["ttl"] > 0
	}, patience, 50*time.Millisecond)
	api.Send(kubetest.EndpointSlices, `{"type": "ADDED", "object": `+kubetest.EndpointSlice("a", pod.Port, "127.244.0.1")+`}`)
	require.Eventually(t, func() bool {
		do("TYPE", "127.244.0.1", pod.Port, 1)
		return o.mustScrape().commands("cache")["type"] > 0
	}, patience, 50*time.Millisecond)

	do("GET", "127.244.0.1", pod.Port, 50)
	do("GET", "127.244.0.2", pod.Port, 50) // not of the Service

	api.Refuse(http.StatusForbidden)
	api.CloseClientConnections()
	o.mustSee("a failure", func(s snapshot) bool {
		return s.value("redis_observer_service_watch_failures_total", "service=shop/cache") > 0
	})
	assert.Contains(t, o.Log(), "cannot watch a Service; keeping its last addresses")
	do("STRLEN", "127.244.0.1", pod.Port, 50)
	s := o.mustSee("the last commands", func(s snapshot) bool { return s.commands("cache")["strlen"] >= 50 })
	assert.Equal(t, 50, s.commands("cache")["strlen"])
	assert.Equal(t, 50, s.commands("cache")["get"])
	assert.NotContains(t, o.Log(), "secret")
}
