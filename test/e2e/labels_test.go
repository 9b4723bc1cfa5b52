package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unifiedMount is where the unified hierarchy is mounted on hosts that have the older ones too.
const unifiedMount = "/sys/fs/cgroup/unified"

// mustCgroup makes a cgroup below a path of the unified hierarchy. It returns its descriptor.
func mustCgroup(t *testing.T, path string) int {
	t.Helper()
	root := unifiedMount
	if _, err := os.Stat(root + "/cgroup.procs"); err != nil {
		root = "/sys/fs/cgroup"
	}
	if _, err := os.Stat(root + "/cgroup.procs"); err != nil {
		t.Skip("needs the unified hierarchy of cgroups")
	}
	whole := filepath.Join(root, path)
	if err := os.MkdirAll(whole, 0o755); err != nil {
		t.Skipf("needs permission to make a cgroup: %v", err)
	}
	t.Cleanup(func() {
		for at := whole; at != root; at = filepath.Dir(at) {
			_ = os.Remove(at) // another test may use the outer ones
		}
	})
	directory, err := os.Open(whole)
	require.NoError(t, err)
	t.Cleanup(func() { _ = directory.Close() })
	return int(directory.Fd())
}

// inCgroup prepares a command to start in a cgroup.
func inCgroup(cgroup int, program string, arguments ...string) *exec.Cmd {
	command := exec.Command(program, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: cgroup}
	return command
}

// mustProgramNamed copies redis-cli under another name.
func mustProgramNamed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath("redis-cli")
	require.NoError(t, err)
	program, err := os.ReadFile(path)
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(copied, program, 0o755))
	return copied
}

const withLabels = "metrics: {labels: [process_executable_name, systemd_unit, container_id]}\n"

// Short-lived processes of two programs in two cgroups, of which each has a command of its own: none
// counts under the other, and the sum over the labels is what the server counted.
func TestLabelsOfShortLivedProcesses(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	id := strings.Repeat("0123456789abcdef", 4)
	pod := mustCgroup(t, "kubepods.slice/kubepods-pod01234567_89ab_cdef_0123_456789abcdef.slice/cri-containerd-"+id+".scope")
	unit := mustCgroup(t, "system.slice/shop.service")
	first, second := mustProgramNamed(t, "shop-web"), mustProgramNamed(t, "shop-worker")
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port)+withLabels)
	processes := shortLived(t)
	var group sync.WaitGroup
	for _, side := range []struct {
		cgroup           int
		program, command string
	}{{pod, first, "INCR"}, {unit, second, "LLEN"}} {
		group.Go(func() {
			for range processes {
				out, err := inCgroup(side.cgroup, side.program, "-p", strconv.Itoa(r.Port), side.command, "key-"+side.command).CombinedOutput()
				assert.NoError(t, err, "%s", out)
			}
		})
	}
	group.Wait()
	s := o.mustSee("the commands of all processes", func(s snapshot) bool {
		return s.commands("default")["incr"]+s.commands("default")["llen"] >= 2*processes
	})
	count := func(labels ...string) int { return s.sum("redis_commands_total", append(labels, "name=default")...) }
	assert.Equal(t, processes, count("command=incr", "process_executable_name=shop-web", "container_id="+id, "systemd_unit="))
	assert.Equal(t, processes, count("command=llen", "process_executable_name=shop-worker", "container_id=", "systemd_unit=shop.service"))
	assert.Equal(t, processes, count("command=incr"), "the sum over all labels")
	assert.Equal(t, processes, count("command=llen"), "the sum over all labels")
	assert.Zero(t, s.sum("redis_observer_label_unknown_total"))
	assert.Zero(t, s.sum("redis_observer_label_overflow_total"))
	assert.LessOrEqual(t, s.sum("redis_observer_label_sets"), 4)
}

// shortLived returns how many processes of each program a test starts.
func shortLived(t *testing.T) int {
	text := os.Getenv("REDIS_OBSERVER_TEST_PROCESSES")
	if text == "" {
		return 100
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// The server's end counts under the server's own cgroup and executable, although the kernel opens an
// accepted connection while the client runs.
func TestLabelsOfTheServer(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	client := mustCgroup(t, "system.slice/client.service")
	r := mustRedis(t)
	o := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: here, role: server, addresses: ['*:%d']}]\nmetrics: {labels: [process_executable_name, systemd_unit, client_address]}\n", r.Port))
	for range 20 {
		require.NoError(t, inCgroup(client, "redis-cli", "-p", strconv.Itoa(r.Port), "PING").Run())
	}
	s := o.mustSee("the commands", func(s snapshot) bool { return s.commands("here")["ping"] == 20 })
	assert.Equal(t, 20, s.sum("redis_commands_total", "name=here", "command=ping", "client_address=127.0.0.1", "systemd_unit="))
	assert.Zero(t, s.sum("redis_commands_total", "process_executable_name=redis-cli"))
	assert.Zero(t, s.sum("redis_commands_total", "systemd_unit=client.service"))
}

// A connection that is older than the observer has its cgroup from the listing, and its program from
// its next call.
func TestLabelsOfOlderConnections(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	unit := mustCgroup(t, "system.slice/older.service")
	r := mustRedis(t)
	program := inCgroup(unit, "redis-cli", "-p", strconv.Itoa(r.Port))
	in, err := program.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	t.Cleanup(func() {
		_ = in.Close() // which ends the program
		_ = program.Wait()
	})
	_, err = in.Write([]byte("PING\n"))
	require.NoError(t, err)
	time.Sleep(500 * time.Millisecond)
	o := mustObserver(t, observing(r.Port)+withLabels)
	o.mustSee("its unit in the gauge", func(s snapshot) bool {
		return s.sum("redis_pool_connections", "systemd_unit=older.service", "process_executable_name=", "state=available") == 1
	})
	_, err = in.Write([]byte("ECHO now\n"))
	require.NoError(t, err)
	s := o.mustSee("its command", func(s snapshot) bool { return s.commands("default")["echo"] == 1 })
	assert.Equal(t, 1, s.sum("redis_commands_total", "command=echo", "systemd_unit=older.service", "process_executable_name=redis-cli"))
}
