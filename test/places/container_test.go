package places

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// capabilities are those that Docker gives to a container if nothing else is asked for.
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// container is a bundle of runc's.
type container struct {
	dir  string
	spec specs.Spec
}

// mustContainer makes one whose root is this machine's, to be read only; repository and Go's caches can be written.
func mustContainer(tb testing.TB, repository string) *container {
	tb.Helper()
	cache, modules := mustShell(tb, "go env GOCACHE"), mustShell(tb, "go env GOMODCACHE")
	c := &container{dir: filepath.Dir(repository)}
	rootfs := filepath.Join(c.dir, "root")
	require.NoError(tb, os.Mkdir(rootfs, 0o755))
	require.NoError(tb, unix.Mount("/", rootfs, "", unix.MS_BIND, ""))
	tb.Cleanup(func() { assert.NoError(tb, unix.Unmount(rootfs, unix.MNT_DETACH)) })
	writable := func(path string) specs.Mount {
		return specs.Mount{Destination: path, Type: "bind", Source: path, Options: []string{"bind", "rw"}}
	}
	c.spec = specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: rootfs, Readonly: true},
		Process: &specs.Process{
			Cwd: repository,
			Env: environment("/tmp", cache, modules),
			Capabilities: &specs.LinuxCapabilities{
				Bounding: capabilities, Effective: capabilities, Permitted: capabilities,
			},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777"}},
			writable(repository), writable(cache), writable(modules),
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	profile, err := seccomp.GetDefaultProfile(&c.spec)
	require.NoError(tb, err)
	c.spec.Linux.Seccomp = profile
	return c
}

// mustRun runs a command in the container, and returns what it printed.
func (c *container) mustRun(tb testing.TB, arguments ...string) string {
	tb.Helper()
	c.spec.Process.Args = arguments
	config, err := json.Marshal(c.spec)
	require.NoError(tb, err)
	require.NoError(tb, os.WriteFile(filepath.Join(c.dir, "config.json"), config, 0o600))
	name := filepath.Base(c.dir)
	tb.Cleanup(func() { _ = exec.Command("runc", "delete", "--force", name).Run() }) // it is gone unless it was killed
	return mustRun(tb, exec.Command("runc", "run", "--bundle", c.dir, name))
}

func TestContainer(t *testing.T) {
	requireRoot(t, "runc", "redis-server")
	c := mustContainer(t, mustCopy(t))
	t.Run("demo", func(t *testing.T) {
		output := c.mustRun(t, "make", "demo")
		assertTable(t, output)
		assert.Contains(t, output, "captures packets here, because eBPF is refused: CAP_BPF and CAP_PERFMON missing; `docker run ")
		assert.Regexp(t, `\nget +([1-9]\d*) +([1-9]\d*)\n`, output, "Redis' own counts")
	})
	t.Run("test", func(t *testing.T) {
		output := c.mustRun(t, makeTest("packets")...)
		assert.Regexp(t, `(?m)^\d+ tests, \d+ skipped$`, output)
		assert.Contains(t, output, "needs the probes (CAP_BPF and CAP_PERFMON)")
	})
}
