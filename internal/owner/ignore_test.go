package owner

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"envoy", "envoy", true},
		{"envoy", "envoy2", false},
		{"envoy", "Envoy", false},
		{"", "", true},
		{"*", "", true},
		{"*", "any", true},
		{"kube-*", "kube-system", true},
		{"kube-*", "kube-", true},
		{"kube-*", "my-kube-", false},
		{"*-proxy", "docker-proxy", true},
		{"*-proxy", "docker-proxy2", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"a*b*bc", "abbc", true},
		{"a*b*bc", "abc", false},
		{"*b*", "abc", true},
		{"*b*", "ac", false},
		{"**", "ac", true},
		{`dev-\x2d.service`, `dev-\x2d.service`, true}, // no escapes
		{"[a]?", "a1", false},
	} {
		assert.Equal(t, test.want, match(test.pattern, test.name), "%s %s", test.pattern, test.name)
	}
}

func TestFilter(t *testing.T) {
	const pod = "/kubepods.slice/kubepods-pod01234567_89ab_cdef_0123_456789abcdef.slice"
	known := false
	f := NewFilter(Ignore{
		Processes: []string{"twemproxy", "*_exporter"}, Units: []string{"haproxy@*.service"}, Namespaces: []string{"istio-system"},
	}, func(uid, _ string) (Pod, bool) {
		assert.Equal(t, "01234567-89ab-cdef-0123-456789abcdef", uid)
		return Pod{Namespace: "istio-system"}, known
	})
	for _, test := range []struct {
		owner *event.Owner
		want  event.Trait
	}{
		{nil, event.NoTrait},
		{&event.Owner{}, event.NoTrait},
		{&event.Owner{Cgroup: "/"}, event.NoTrait},
		{&event.Owner{Executable: "redis_exporter"}, event.Process},
		{&event.Owner{Executable: "app", Cgroup: "/system.slice/app.service"}, event.NoTrait},
		{&event.Owner{Executable: "app", Cgroup: "/system.slice/haproxy@a.service"}, event.Unit},
		{&event.Owner{Executable: "twemproxy", Cgroup: "/system.slice/haproxy@a.service"}, event.Process},
		{&event.Owner{Cgroup: "/system.slice/haproxy@a.service/inner"}, event.Unit},
		{&event.Owner{Cgroup: pod}, event.NoTrait},
	} {
		assert.Equal(t, test.want, f.Ignored(test.owner), test.owner)
	}
	known = true
	assert.Equal(t, event.Namespace, f.Ignored(&event.Owner{Cgroup: pod}))
	assert.Equal(t, event.NoTrait, NewFilter(f.ignore, nil).Ignored(&event.Owner{Cgroup: pod}))
}

func TestIgnoreEmpty(t *testing.T) {
	assert.True(t, Ignore{}.Empty())
	for _, ignore := range []Ignore{{Processes: []string{"a"}}, {Units: []string{"a"}}, {Namespaces: []string{"a"}}} {
		assert.False(t, ignore.Empty())
	}
}
