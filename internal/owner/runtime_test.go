package owner_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/owner"
)

// idOf returns an ID of a container.
func idOf(digit string) string { return strings.Repeat(digit, 64) }

// nameOf returns the label container_name of a program in a cgroup.
func nameOf(t *testing.T, files fs.FS, cgroup string) string {
	t.Helper()
	s := newSetsWith(owner.Options{Max: 10, Labels: []string{"container_name"}, Runtimes: owner.NewRuntimes(files)})
	return s.values(t, s.label(event.Client, &event.Owner{Cgroup: cgroup, Complete: true}))[1]
}

func TestContainerName(t *testing.T) {
	const docker, podman = "var/lib/docker/containers/", "var/lib/containers/storage/overlay-containers/"
	files := fstest.MapFS{
		docker + idOf("a") + "/config.v2.json": {Data: []byte(`{"StreamConfig": {}, "State": {"Running": true}, "ID": "x", "Name": "/session-cache"}`)},
		docker + idOf("b") + "/config.v2.json": {Data: []byte(`{"Name": 7}`)},
		docker + idOf("c") + "/config.v2.json": {Mode: fs.ModeNamedPipe, Data: []byte(`{"Name": "/c"}`)},
		docker + idOf("d") + "/config.v2.json": {Data: []byte(`{"Name": "/` + strings.Repeat("é", 500) + `"}`)},
		podman + "containers.json":             {Data: []byte(`[{"id": "` + idOf("1") + `", "names": ["queue", "alias"]}, {"id": "` + idOf("2") + `"}]`)},
		podman + "volatile-containers.json":    {Data: []byte(`[{"id": "` + idOf("3") + `", "names": ["temporary"]}]`)},
	}
	for cgroup, want := range map[string]string{
		"/system.slice/docker-" + idOf("a") + ".scope":            "session-cache",
		"/docker/" + idOf("a"):                                    "session-cache",
		"/docker/" + idOf("b"):                                    "unknown",
		"/docker/" + idOf("c"):                                    "unknown",
		"/docker/" + idOf("e"):                                    "unknown",
		"/machine.slice/libpod-" + idOf("1") + ".scope/container": "queue",
		"/machine.slice/libpod-" + idOf("2") + ".scope":           "unknown",
		"/machine.slice/libpod-" + idOf("3") + ".scope":           "temporary",
		"/system.slice/app.service":                               "",
		"/kubepods/pod" + podUID + "/" + idOf("a"):                "unknown", // pods are not known
		"/kubepods/pod" + podUID:                                  "",
	} {
		assert.Equal(t, want, nameOf(t, files, cgroup), cgroup)
	}
	assert.Len(t, []rune(nameOf(t, files, "/docker/"+idOf("d"))), 126)
	assert.Equal(t, "unknown", nameOf(t, fstest.MapFS{}, "/docker/"+idOf("a")))

	folders, faults := owner.NewRuntimes(files).Readable()
	assert.Equal(t, []string{"/var/lib/docker/containers", "/var/lib/containers/storage/overlay-containers"}, folders)
	assert.Empty(t, faults)
	folders, faults = owner.NewRuntimes(fstest.MapFS{"var/lib/docker/containers": {Data: []byte("no folder")}}).Readable()
	assert.Empty(t, folders)
	assert.Len(t, faults, 1)
}

// The name in a pod is that of Kubernetes.
func TestContainerNameInPod(t *testing.T) {
	pods := knownPods{podUID: owner.Pod{Namespace: "shop", Name: "web-0", Container: "app"}}
	s := newSetsWith(owner.Options{Max: 10, Labels: []string{"container_name"}, Pod: pods.find, Runtimes: owner.NewRuntimes(fstest.MapFS{})})
	assert.Equal(t, []string{"default", "app"}, s.values(t, s.label(event.Client, &event.Owner{Cgroup: podGroup + containerID, Complete: true})))
	late := s.label(event.Client, &event.Owner{Cgroup: podGroup + idOf("f"), Complete: true})
	assert.Equal(t, []string{"default", "unknown"}, s.values(t, late))
	assert.True(t, s.Waits(late))
	assert.Equal(t, late, s.label(event.Client, &event.Owner{Cgroup: "/docker/" + idOf("f"), Complete: true}), "a name that is in no file")
}
