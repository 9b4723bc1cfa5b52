package owner

import (
	"slices"
	"strings"

	"github.com/redis-observer/redis-observer/internal/event"
)

// Ignore says whose connections are left out, by names in which * stands for any text.
type Ignore struct {
	Processes  []string // executables
	Units      []string // of systemd
	Namespaces []string // of Kubernetes
}

// Empty reports whether nobody's connections are left out.
func (i Ignore) Empty() bool { return len(i.Processes)+len(i.Units)+len(i.Namespaces) == 0 }

// Filter leaves out connections by their owners. It is for one goroutine.
type Filter struct {
	ignore Ignore
	pod    func(uid, container string) (Pod, bool)
	groups groups
}

// NewFilter returns a Filter. pod finds a pod as Options.Pod does; nil: no pod is known.
func NewFilter(ignore Ignore, pod func(uid, container string) (Pod, bool)) *Filter {
	return &Filter{ignore: ignore, pod: pod, groups: groups{}}
}

// Ignored returns what decides that the connections of an owner are left out. An owner of which
// nothing is known, nil, is not left out, nor is one in a pod that is not known.
func (f *Filter) Ignored(owner *event.Owner) event.Trait {
	if owner == nil {
		return event.NoTrait
	}
	if matches(f.ignore.Processes, owner.Executable) {
		return event.Process
	}
	group := f.groups.of(owner)
	if group == nil {
		return event.NoTrait
	}
	if matches(f.ignore.Units, group.unit) {
		return event.Unit
	}
	if f.pod != nil && group.pod != "" && len(f.ignore.Namespaces) > 0 {
		if pod, known := f.pod(group.pod, group.container); known && matches(f.ignore.Namespaces, pod.Namespace) {
			return event.Namespace
		}
	}
	return event.NoTrait
}

// matches reports whether any of some patterns matches a name. An empty name is not known, or there
// is none.
func matches(patterns []string, name string) bool {
	return name != "" && slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, name) })
}

// match reports whether a pattern, in which * stands for any text, matches the whole of a name.
func match(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, found := strings.CutPrefix(name, first)
	if !found {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] { // the first place leaves the most for those that follow
		_, after, found := strings.Cut(name, part)
		if !found {
			return false
		}
		name = after
	}
	return strings.HasSuffix(name, last)
}
