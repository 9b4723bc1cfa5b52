package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/kube/kubetest"
)

func clientOf(t *testing.T, s *kubetest.Server) *Client {
	t.Helper()
	c, err := NewClient(s.URL, s.Authority(), filepath.Join(s.Account(t), "token"))
	require.NoError(t, err)
	require.NoError(t, c.CheckToken())
	return c
}

// seen takes what a watch reports.
type seen struct {
	changed chan Addresses
	failed  chan error
}

func follow(t *testing.T, c *Client) seen {
	t.Helper()
	s := seen{make(chan Addresses, 64), make(chan error, 64)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Watch(ctx, "shop", "cache", func(a Addresses) { s.changed <- a }, func(err error) { s.failed <- err })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s
}

// until waits for addresses of port 6379.
func (s seen) until(t *testing.T, want ...string) {
	t.Helper()
	var last Addresses
	for {
		select {
		case last = <-s.changed:
			var got []string
			for _, a := range last[6379] {
				got = append(got, a.String())
			}
			if strings.Join(got, " ") == strings.Join(want, " ") {
				return
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("want %v, last seen %v", want, last)
		}
	}
}

const (
	oneService = `{"metadata": {"name": "cache", "resourceVersion": "8"}, "spec": {"clusterIPs": ["10.96.0.10", "fd00::10"], "ports": [
		{"name": "redis", "port": 6379, "targetPort": 7000, "protocol": "TCP"}, {"name": "gossip", "port": 9000, "protocol": "UDP"}]},
		"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]}}}`
	headless = `{"metadata": {"name": "cache"}, "spec": {"clusterIPs": ["None"], "ports": [{"name": "redis", "port": 6379}]}}`
)

func TestWatch(t *testing.T) {
	s := kubetest.Serve(t)
	s.Set(kubetest.Services, "["+oneService+"]")
	s.Set(kubetest.EndpointSlices, "["+kubetest.EndpointSlice("a", 7000, "10.244.1.5", "10.244.2.7")+"]")
	watch := follow(t, clientOf(t, s))
	own := []string{"10.96.0.10:6379", "[fd00::10]:6379", "192.0.2.1:6379"}
	watch.until(t, append(own, "10.244.1.5:7000", "10.244.2.7:7000")...)

	s.Send(kubetest.EndpointSlices, `{"type": "ADDED", "object": `+kubetest.EndpointSlice("b", 7001, "10.244.3.1")+`}`)
	watch.until(t, append(own, "10.244.1.5:7000", "10.244.2.7:7000", "10.244.3.1:7001")...)
	s.Send(kubetest.EndpointSlices, `{"type": "MODIFIED", "object": `+kubetest.EndpointSlice("a", 7000, "10.244.1.5")+`}`)
	s.Send(kubetest.EndpointSlices, `{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "20"}}}`)
	s.Send(kubetest.EndpointSlices, `{"type": "DELETED", "object": `+kubetest.EndpointSlice("b", 7001)+`}`)
	watch.until(t, append(own, "10.244.1.5:7000")...)
	s.Send(kubetest.Services, `{"type": "MODIFIED", "object": `+headless+`}`)
	watch.until(t, "10.244.1.5:7000")

	for _, request := range s.Requests() {
		assert.True(t, strings.HasPrefix(request, "/api/v1/namespaces/shop/services?") && strings.Contains(request, "fieldSelector=metadata.name%3Dcache") ||
			strings.HasPrefix(request, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?") && strings.Contains(request, "labelSelector=kubernetes.io%2Fservice-name%3Dcache"), request)
		assert.True(t, strings.HasSuffix(request, " Bearer secret"))
		assert.True(t, strings.Contains(request, "watch=1") || strings.Contains(request, "resourceVersion=0"), "%s: not from the storage of the API server", request)
	}
}

// What was known stays while the API server refuses, and the watch goes on when it does not.
func TestWatchOfServerThatRefuses(t *testing.T) {
	s := kubetest.Serve(t)
	s.Set(kubetest.Services, "["+oneService+"]")
	s.Refuse(http.StatusForbidden)
	watch := follow(t, clientOf(t, s))
	err := <-watch.failed
	assert.ErrorContains(t, err, "403 Forbidden (allow list and watch of ")
	assert.Empty(t, watch.changed)
	s.Refuse(http.StatusOK)
	watch.until(t, "10.96.0.10:6379", "[fd00::10]:6379", "192.0.2.1:6379")
}

// A version that has expired, and text that is no JSON, begin the watch anew.
func TestWatchOfServerThatLies(t *testing.T) {
	for _, event := range []string{`{"type": "ERROR", "object": {"code": 410}}`, `]`, `{"type": 7}`, `{"type": "ADDED", "object": {"spec": {"ports": "none"}}}`} {
		s := kubetest.Serve(t)
		s.Set(kubetest.Services, "["+headless+"]")
		watch := follow(t, clientOf(t, s))
		watch.until(t)
		s.Set(kubetest.Services, "["+oneService+"]")
		s.Send(kubetest.Services, event)
		watch.until(t, "10.96.0.10:6379", "[fd00::10]:6379", "192.0.2.1:6379")
	}
}

// Whatever the API server says, the number of addresses is bounded, and each is an address.
func TestBounds(t *testing.T) {
	var s service
	require.NoError(t, json.Unmarshal([]byte(headless), &s))
	var pods []string
	for i := range 2 * maxAddresses {
		pods = append(pods, fmt.Sprintf("10.1.%d.%d", i/250, i%250))
	}
	var many slice
	require.NoError(t, json.Unmarshal([]byte(kubetest.EndpointSlice("a", 7000, pods...)), &many))
	assert.Len(t, addresses([]service{s}, []slice{many, many})[6379], maxAddresses)

	require.NoError(t, json.Unmarshal([]byte(kubetest.EndpointSlice("a", 7000, "0.0.0.0", "::", "x", "", "::ffff:10.0.0.1", "fe80::1%eth0")), &many))
	assert.Equal(t, []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:7000"), netip.MustParseAddrPort("[fe80::1]:7000")}, addresses([]service{s}, []slice{many})[6379])
}

func TestInClusterNeedsAPod(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	_, err := InCluster()
	assert.ErrorContains(t, err, "service:// addresses and labels of pods work only in a pod")
}
