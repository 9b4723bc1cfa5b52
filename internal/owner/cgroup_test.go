package owner

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParseCgroup(t *testing.T) {
	id, inner := strings.Repeat("0123456789abcdef", 4), strings.Repeat("f", 64)
	const uid = "12345678-90ab-cdef-1234-567890abcdef"
	slice := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice/"
	for _, test := range []struct {
		name, path string
		want       group
	}{
		{"root", "/", group{}},
		{"unit", "/system.slice/redis-app.service", group{unit: "redis-app.service"}},
		{"template in a slice", `/system.slice/system-app.slice/app@1.service`, group{unit: "app@1.service"}},
		{"below a unit", "/system.slice/app.service/worker", group{unit: "app.service"}},
		{"user's unit", "/user.slice/user-1000.slice/user@1000.service/app.slice/app.service", group{unit: "app.service"}},
		{"session", "/user.slice/user-0.slice/session-1.scope", group{unit: "session-1.scope"}},
		{"escaped", "/system.slice/_cpu.service", group{unit: "cpu.service"}},
		{"no unit", "/system.slice/.service", group{}},
		{"docker, systemd", "/system.slice/docker-" + id + ".scope", group{container: id}},
		{"docker, cgroupfs", "/docker/" + id, group{container: id}},
		{"podman", "/machine.slice/libpod-" + id + ".scope/container", group{container: id}},
		{"podman, split", "/machine.slice/libpod-payload-" + id, group{container: id}},
		{"rootless podman", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope", group{unit: "user@1000.service", container: id}},
		{"podman's monitor", "/machine.slice/libpod-conmon-" + id + ".scope", group{unit: "libpod-conmon-" + id + ".scope"}},
		{"podman in a unit", "/system.slice/web.service/libpod-payload-" + id, group{unit: "web.service", container: id}},
		{"containerd, systemd", slice + "cri-containerd-" + id + ".scope", group{container: id, pod: uid}},
		{"containerd, joined", "/system.slice/containerd.service/kubepods-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice:cri-containerd:" + id, group{unit: "containerd.service", container: id, pod: uid}},
		{"cri-o", slice + "crio-" + id + ".scope", group{container: id, pod: uid}},
		{"cri-o's monitor", slice + "crio-conmon-" + id + ".scope", group{pod: uid}},
		{"cri-o, cgroupfs", "/kubepods/burstable/pod" + uid + "/crio-" + id, group{container: id, pod: uid}},
		{"containerd, cgroupfs, joined", "/system.slice/kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice:cri-containerd:" + id, group{container: id, pod: uid}},
		{"cgroupfs", "/kubepods/besteffort/pod" + uid + "/" + id, group{container: id, pod: uid}},
		{"static pod", "/kubepods/pod0123456789abcdef0123456789abcdef/" + id, group{container: id, pod: "0123456789abcdef0123456789abcdef"}},
		{"kind", "/system.slice/docker-" + inner + ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice/cri-containerd-" + id + ".scope", group{container: id, pod: uid}},
		{"systemd in a container", "/docker/" + id + "/system.slice/app.service", group{container: id}},
		{"an ID that is too short", "/docker/" + id[1:], group{}},
		{"an ID with capitals", "/docker/" + strings.ToUpper(inner), group{}},
		{"pod of no Kubernetes", "/podman/podcast", group{}},
		{"nothing between separators", "//:/pod/-pod.slice", group{}},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, parseCgroup(test.path)) })
	}
}

func FuzzParseCgroup(f *testing.F) {
	f.Add("/system.slice/docker-" + strings.Repeat("0", 64) + ".scope")
	f.Fuzz(func(t *testing.T, path string) {
		g := parseCgroup(path)
		for _, part := range []string{g.unit, g.container} {
			assert.Contains(t, path, part)
			assert.NotContains(t, part, "/")
		}
	})
}
