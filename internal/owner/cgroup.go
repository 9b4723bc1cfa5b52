package owner

import (
	"strings"

	"github.com/redis-observer/redis-observer/internal/event"
)

// group is what the path of a cgroup says.
type group struct {
	unit      string // of systemd; "" outside of one
	container string // "" outside of one
	pod       string // UID of a pod of Kubernetes; "" outside of one
}

// groups remember what the paths of cgroups say, maxGroups at most.
type groups map[string]*group

const maxGroups = 4096

// of returns what the cgroup of an owner says, nil if it is not known.
func (g groups) of(owner *event.Owner) *group {
	if owner == nil || owner.Cgroup == "" {
		return nil
	}
	if known := g[owner.Cgroup]; known != nil {
		return known
	}
	if len(g) >= maxGroups {
		clear(g)
	}
	parsed := parseCgroup(owner.Cgroup)
	g[owner.Cgroup] = &parsed
	return &parsed
}

// parseCgroup returns what the path of a cgroup says. The innermost container counts, so of one
// that runs containers itself (kind, Docker in Docker) the inner one; the unit is that around the
// outermost container, because an inner systemd is not that of the host.
func parseCgroup(path string) group {
	var g group
	for part := range strings.SplitSeq(path, "/") {
		slice, _, _ := strings.Cut(part, ":") // with containerd's prefixed form the slice and the container are one name
		if uid := podOf(slice); uid != "" {
			g.pod, g.container = uid, ""
		}
		if id := containerOf(part); id != "" {
			g.container = id
		} else if g.container == "" && g.pod == "" {
			if unit := unitOf(part); unit != "" {
				g.unit = unit
			}
		}
	}
	return g
}

// unitSuffixes are the types of units that hold processes. A slice holds others.
var unitSuffixes = []string{".service", ".scope"}

// unitOf returns the unit of a cgroup's name. Systemd puts an underscore before names that would
// otherwise be those of a file of the cgroup.
func unitOf(part string) string {
	part = strings.TrimPrefix(part, "_")
	for _, suffix := range unitSuffixes {
		if strings.HasSuffix(part, suffix) && part != suffix {
			return part
		}
	}
	return ""
}

// podOf returns the UID of the pod of a cgroup's name: pod<uid> by the cgroupfs driver, and
// kubepods-<class>-pod<uid>.slice with underscores by that of systemd.
func podOf(part string) string {
	name, isSlice := strings.CutSuffix(part, ".slice")
	if isSlice {
		at := strings.LastIndex(name, "-pod")
		if !strings.Contains(name, "kubepods") || at < 0 {
			return ""
		}
		name = strings.ReplaceAll(name[at+1:], "_", "-")
	}
	uid, isPod := strings.CutPrefix(name, "pod")
	if !isPod || !isUID(uid) {
		return ""
	}
	return uid
}

// isUID reports whether a text is the UID of a pod: a UUID, or of a static pod a hash.
func isUID(text string) bool {
	return len(text) == 32 && isHex(text) || len(text) == 36 && isHex(strings.ReplaceAll(text, "-", "")) && strings.Count(text, "-") == 4
}

// containerPrefixes are those of the scopes of containers under systemd, by runtime.
var containerPrefixes = []string{"docker-", "cri-containerd-", "nerdctl-", "crio-", "libpod-payload-", "libpod-"}

// containerIDLength is the length of the ID of a container in all known runtimes.
const containerIDLength = 64

// containerOf returns the ID of the container of a cgroup's name: the ID alone, behind the prefix of
// a runtime, or with containerd behind the name of a pod's slice (kubepods-...:cri-containerd:ID).
// The monitor of a container is outside of it (crio-conmon-, libpod-conmon-).
func containerOf(part string) string {
	part = strings.TrimSuffix(part, ".scope")
	if at := strings.LastIndexByte(part, ':'); at >= 0 {
		part = part[at+1:]
	}
	for _, prefix := range containerPrefixes {
		part = strings.TrimPrefix(part, prefix)
	}
	if len(part) != containerIDLength || !isHex(part) {
		return ""
	}
	return part
}

func isHex(text string) bool {
	return text != "" && strings.Trim(text, "0123456789abcdef") == ""
}
