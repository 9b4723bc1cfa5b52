// Package cgroup reads the memory limit of the process.
package cgroup

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// unlimited is the value of cgroups v1 for no limit, rounded to pages.
const unlimited = math.MaxInt64 >> 13 << 13

// MemoryLimit returns the lowest limit in bytes of the memory cgroups of the process, v1 or v2. It
// returns false if there is no limit, or none that can be read. root is the root of the file
// system: os.DirFS("/").
func MemoryLimit(root fs.FS) (bytes int64, limited bool) {
	table, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	bytes = unlimited
	for line := range strings.Lines(string(table)) {
		// "<number>:<controllers>:<path>"; v2 has no controllers here.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(fields) != 3:
		case fields[1] == "":
			bytes = min(bytes, leastOf(root, "sys/fs/cgroup", fields[2], "memory.max"))
		case strings.Contains(","+fields[1]+",", ",memory,"):
			bytes = min(bytes, leastOf(root, "sys/fs/cgroup/memory", fields[2], "memory.limit_in_bytes"))
		}
	}
	return bytes, bytes < unlimited
}

// leastOf returns the lowest limit of a cgroup and its parents. In a container the path may be that
// on the host, which does not exist in the container: the mount is then the root of its own cgroup.
func leastOf(root fs.FS, mount, group, file string) int64 {
	least := int64(unlimited)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		if text, err := fs.ReadFile(root, path.Join(mount, group, file)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // otherwise "max"
				least = min(least, n)
			}
		}
		if group == "/" {
			return least
		}
	}
}
