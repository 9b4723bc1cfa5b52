// Package cgroup reads how much memory the process may use.
package cgroup

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// unlimited is what the first version of cgroups calls no limit, rounded to pages.
const unlimited = math.MaxInt64 >> 13 << 13

// MemoryLimit returns the least limit in bytes of the memory cgroups that the process is in, of either version. It returns false if there is
// none, or none that can be read. root is the root of the file system: os.DirFS("/").
func MemoryLimit(root fs.FS) (bytes int64, limited bool) {
	table, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	bytes = unlimited
	for line := range strings.Lines(string(table)) {
		// "<number>:<controllers>:<path>"; the second version has no controllers here.
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

// leastOf returns the least limit of a cgroup and of those around it. In a container the path may be that on the host, which is not to be
// seen there: what is mounted is then the container's own.
func leastOf(root fs.FS, mount, group, file string) int64 {
	least := int64(unlimited)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		if text, err := fs.ReadFile(root, path.Join(mount, group, file)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // else "max"
				least = min(least, n)
			}
		}
		if group == "/" {
			return least
		}
	}
}
