package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/kube/kubetest"
)

const node = "node-1"

// idOf returns an ID of a container.
func idOf(digit string) string { return strings.Repeat(digit, 64) }

// followPods watches the pods of the node until the test ends.
func followPods(t *testing.T, c *Client) (*Pods, chan error) {
	t.Helper()
	pods, failed := NewPods(), make(chan error, 64)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.WatchPods(ctx, node, pods, func(err error) { failed <- err })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return pods, failed
}

// awaitPod waits for what is known of a container.
func awaitPod(t *testing.T, pods *Pods, uid, container string, want Pod) {
	t.Helper()
	require.Eventually(t, func() bool { got, _ := pods.Find(uid, container); return got == want }, 10*time.Second, time.Millisecond)
}

func TestPods(t *testing.T) {
	s := kubetest.Serve(t)
	s.Set(kubetest.Pods, "["+kubetest.Pod(node, "u1", "web-5d8f7c9b4-x2x4z", "ReplicaSet/web-5d8f7c9b4", [2]string{"app", idOf("a")}, [2]string{"proxy", ""})+","+
		kubetest.Pod("node-2", "u2", "elsewhere", "", [2]string{"app", idOf("b")})+"]")
	pods, _ := followPods(t, clientOf(t, s))
	web := Pod{"shop", "web-5d8f7c9b4-x2x4z", "app", "Deployment", "web"}
	awaitPod(t, pods, "u1", idOf("a"), web)
	_, found := pods.Find("u2", idOf("b"))
	assert.False(t, found, "of another node, which was not asked for")

	// The ID of a container is known later.
	web.Container = ""
	awaitPod(t, pods, "u1", idOf("c"), web)
	before := pods.Changes()
	s.Send(kubetest.Pods, `{"type": "MODIFIED", "object": `+kubetest.Pod(node, "u1", "web-5d8f7c9b4-x2x4z", "ReplicaSet/web-5d8f7c9b4", [2]string{"app", idOf("a")}, [2]string{"proxy", idOf("c")})+`}`)
	web.Container = "proxy"
	awaitPod(t, pods, "u1", idOf("c"), web)
	assert.NotEqual(t, before, pods.Changes())

	// Two pods of one name in two namespaces, or one after the other, are two.
	s.Send(kubetest.Pods, `{"type": "ADDED", "object": `+kubetest.Pod(node, "u3", "web-5d8f7c9b4-x2x4z", "", [2]string{"app", ""})+`}`)
	awaitPod(t, pods, "u3", idOf("d"), Pod{"shop", "web-5d8f7c9b4-x2x4z", "app", "", ""})
	awaitPod(t, pods, "u1", idOf("c"), web)

	for _, request := range s.Requests() {
		path, query, _ := strings.Cut(request, "?")
		assert.Equal(t, "/api/v1/pods", path)
		query, token, _ := strings.Cut(query, " ")
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		assert.Equal(t, "spec.nodeName=node-1,status.phase!=Succeeded,status.phase!=Failed", values.Get("fieldSelector"))
		assert.Equal(t, "Bearer secret", token)
		if values.Get("watch") == "" {
			assert.Equal(t, "0", values.Get("resourceVersion"), "not from the storage of the API server")
		}
	}
}

// A pod that ended is known for some time, and so is each one while the API server refuses.
func TestPodsThatEnded(t *testing.T) {
	s := kubetest.Serve(t)
	s.Set(kubetest.Pods, "["+kubetest.Pod(node, "u1", "batch-x7", "Job/batch", [2]string{"app", idOf("a")})+"]")
	pods, failed := followPods(t, clientOf(t, s))
	batch := Pod{"shop", "batch-x7", "app", "Job", "batch"}
	awaitPod(t, pods, "u1", idOf("a"), batch)
	require.NoError(t, <-failed)
	s.Refuse(http.StatusForbidden)
	s.CloseClientConnections()
	assert.Error(t, <-failed)
	assert.ErrorContains(t, <-failed, "get /api/v1/pods: 403 Forbidden (allow list and watch of pods to the service account)")
	awaitPod(t, pods, "u1", idOf("a"), batch)

	now := time.Now()
	pods.now = func() time.Time { return now }
	pods.set(node, nil)
	pods.set(node, nil)
	awaitPod(t, pods, "u1", idOf("a"), batch)
	now = now.Add(keepPods)
	pods.set(node, nil)
	_, found := pods.Find("u1", idOf("a"))
	assert.False(t, found)
}

func TestOwners(t *testing.T) {
	for _, test := range []struct{ owner, kind, name string }{
		{"", "", ""},
		{"ReplicaSet/web-5d8f7c9b4", "Deployment", "web"},
		{"ReplicaSet/web-api-5d8f7c9b4", "Deployment", "web-api"},
		{"ReplicaSet/alone", "ReplicaSet", "alone"},
		{"ReplicaSet/-5d8f7c9b4", "ReplicaSet", "-5d8f7c9b4"},
		{"StatefulSet/db-5d8f7c9b4", "StatefulSet", "db-5d8f7c9b4"},
		{"DaemonSet/agent", "DaemonSet", "agent"},
		{"Job/nightly-28311840", "Job", "nightly-28311840"},
		{"Node/node-1", "Node", "node-1"},
	} {
		var p pod
		require.NoError(t, json.Unmarshal([]byte(kubetest.Pod(node, "u", "p", test.owner)), &p))
		assert.Equal(t, [2]string{test.kind, test.name}, [2]string{p.OwnerKind, p.OwnerName}, test.owner)
	}
}

// The cgroup of a static pod has the hash of its configuration, and the API another UID. The container
// before a restart is known too.
func TestStaticPod(t *testing.T) {
	var p pod
	require.NoError(t, json.Unmarshal([]byte(`{"metadata": {"name": "etcd-node-1", "namespace": "kube-system", "uid": "u1",
		"annotations": {"kubernetes.io/config.hash": "0123"}, "ownerReferences": [{"kind": "Node", "name": "node-1"}]},
		"spec": {"nodeName": "node-1", "containers": [{"name": "etcd"}, {"name": "other"}]},
		"status": {"containerStatuses": [{"name": "etcd", "containerID": "cri-o://new", "lastState": {"terminated": {"containerID": "cri-o://old"}}}],
		"initContainerStatuses": [{"name": "init", "containerID": "docker://first"}], "ephemeralContainerStatuses": [{"name": "debug", "containerID": "docker://debug"}]}}`), &p))
	pods := NewPods()
	pods.set(node, map[string]pod{"u1": p})
	for container, name := range map[string]string{"new": "etcd", "old": "etcd", "first": "init", "debug": "debug", "none": ""} {
		for _, uid := range []string{"u1", "0123"} {
			found, _ := pods.Find(uid, container)
			assert.Equal(t, Pod{"kube-system", "etcd-node-1", name, "Node", "node-1"}, found)
		}
	}
}

// Whatever the API server says is bounded, and text that is no list begins the watch anew.
func TestPodsOfServerThatLies(t *testing.T) {
	long := strings.Repeat("é", 1<<9)
	var containers [][2]string
	for i := range 2 * maxContainers {
		containers = append(containers, [2]string{long, fmt.Sprint(i)})
	}
	var p pod
	require.NoError(t, json.Unmarshal([]byte(kubetest.Pod(node, long, long, long+"/"+long, containers...)), &p))
	assert.Len(t, p.containers, maxContainers)
	for _, text := range []string{p.uid, p.Name, p.OwnerKind, p.OwnerName, p.containers["0"]} {
		assert.True(t, len(text) <= maxName && utf8.ValidString(text))
	}
	var list strings.Builder
	for i := range 2 * maxObjects {
		list.WriteString(kubetest.Pod(node, fmt.Sprint(i), "p", "") + ",")
	}
	read := func(text string) (map[string]pod, error) {
		all, _, err := readList[pod](strings.NewReader(text))
		return all, err
	}
	all, err := read(`{"kind": "PodList", "items": [` + strings.TrimSuffix(list.String(), ",") + `], "metadata": {"resourceVersion": "7"}}`)
	require.NoError(t, err)
	assert.Len(t, all, maxObjects)
	all, err = read(`{"items": null}`)
	assert.NoError(t, err)
	assert.Empty(t, all)
	for _, text := range []string{"", "[]", "7", `{"items": {}}`, `{"items": [7]}`, `{"items": [`, `{"metadata": 7}`, `{"items": [{"spec": 7}]}`} {
		_, err := read(text)
		assert.Error(t, err, text)
	}

	s := kubetest.Serve(t)
	s.Set(kubetest.Pods, "7")
	pods, failed := followPods(t, clientOf(t, s))
	assert.ErrorContains(t, <-failed, "read the list of /api/v1/pods: 7 instead of [")
	s.Set(kubetest.Pods, "["+kubetest.Pod(node, "u1", "p", "", [2]string{"app", ""})+"]")
	awaitPod(t, pods, "u1", "", Pod{"shop", "p", "app", "", ""})
}

func TestCheckPods(t *testing.T) {
	s := kubetest.Serve(t)
	c := clientOf(t, s)
	require.NoError(t, c.CheckPods(context.Background(), node))
	assert.Len(t, s.Requests(), 2, "a list and a watch")
	s.Refuse(http.StatusForbidden)
	assert.ErrorContains(t, c.CheckPods(context.Background(), node), "allow list and watch of pods")
}
