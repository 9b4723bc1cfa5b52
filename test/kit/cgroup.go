package kit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// memoryCgroup is a control group that limits memory, of version 2 or 1, whichever has the controller here.
type memoryCgroup struct {
	folder        string
	peakFile      string
	processesFile string
}

var memoryCgroups atomic.Int64 // made by this process

// newMemoryCgroup makes one. It needs root.
func newMemoryCgroup(limit int64) (*memoryCgroup, error) {
	name := fmt.Sprintf("redis-observer-kit-%d-%d", os.Getpid(), memoryCgroups.Add(1))
	controllers, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers") // absent where version 1 is mounted
	root, limitFile, peakFile := "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"
	if strings.Contains(string(controllers), "memory") {
		root, limitFile, peakFile = "/sys/fs/cgroup", "memory.max", "memory.peak"
	}
	folder := filepath.Join(root, name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make a memory cgroup: %w (needs root and a memory controller)", err)
	}
	c := &memoryCgroup{folder, filepath.Join(folder, peakFile), filepath.Join(folder, "cgroup.procs")}
	if err := os.WriteFile(filepath.Join(folder, limitFile), []byte(strconv.FormatInt(limit, 10)), 0o644); err != nil {
		_ = c.remove()
		return nil, fmt.Errorf("limit a memory cgroup: %w", err)
	}
	return c, nil
}

// command returns one that enters the cgroup before it becomes the program, so that all its memory is charged there.
func (c *memoryCgroup) command(program string, arguments ...string) *exec.Cmd {
	return exec.Command("/bin/sh", append([]string{"-c", `echo $$ >"$0" && exec "$@"`, c.processesFile, program}, arguments...)...)
}

// peak returns the peak memory in bytes, 0 where the kernel does not report it.
func (c *memoryCgroup) peak() int64 {
	text, err := os.ReadFile(c.peakFile)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// remove waits a moment for the last process to be gone.
func (c *memoryCgroup) remove() error {
	var err error
	for range 50 {
		if err = os.Remove(c.folder); err == nil || os.IsNotExist(err) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
