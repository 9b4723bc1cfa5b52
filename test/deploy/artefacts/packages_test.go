package artefacts

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// machine is a copy of this machine's root in which a test installs something. The copy is an overlay, whose upper layer is in memory.
type machine struct{ root, upper string }

func mustMachine(tb testing.TB) *machine {
	tb.Helper()
	folder := tb.TempDir()
	unmount := func(target string) func() {
		return func() { assert.NoError(tb, unix.Unmount(target, unix.MNT_DETACH)) }
	}
	require.NoError(tb, unix.Mount("tmpfs", folder, "tmpfs", 0, "size=512m"))
	tb.Cleanup(unmount(folder))
	m := &machine{root: filepath.Join(folder, "root"), upper: filepath.Join(folder, "upper")}
	for _, directory := range []string{m.root, m.upper, filepath.Join(folder, "work")} {
		require.NoError(tb, os.Mkdir(directory, 0o755))
	}
	require.NoError(tb, unix.Mount("overlay", m.root, "overlay", 0, "lowerdir=/,upperdir="+m.upper+",workdir="+filepath.Join(folder, "work")))
	tb.Cleanup(unmount(m.root))
	require.NoError(tb, unix.Mount("proc", filepath.Join(m.root, "proc"), "proc", 0, ""))
	tb.Cleanup(unmount(filepath.Join(m.root, "proc")))
	m.fakeSystemd(tb)
	return m
}

// fakeSystemd makes the machine one that runs systemd, whose control program only writes its arguments to /calls.
func (m *machine) fakeSystemd(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, os.MkdirAll(filepath.Join(m.root, "run/systemd/system"), 0o755))
	for _, name := range []string{"usr/bin/systemctl", "usr/bin/deb-systemd-invoke"} {
		path := filepath.Join(m.root, name)
		require.NoError(tb, os.RemoveAll(path)) // it may be a link
		require.NoError(tb, os.WriteFile(path, []byte("#!/bin/sh\necho \"$*\" >>/calls\n"), 0o755))
	}
	require.NoError(tb, os.RemoveAll(filepath.Join(m.root, "usr/sbin/policy-rc.d")))
}

// mustRun runs a command on the machine, and returns what it printed.
func (m *machine) mustRun(tb testing.TB, arguments ...string) string {
	tb.Helper()
	command := exec.Command("chroot", append([]string{m.root}, arguments...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	output, err := command.CombinedOutput()
	require.NoError(tb, err, "%v: %s", arguments, output)
	return string(output)
}

// calls returns what systemd was asked for since the last time.
func (m *machine) calls(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(m.root, "calls")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return ""
	}
	require.NoError(tb, err)
	require.NoError(tb, os.Remove(path))
	return string(text)
}

// mustCopy puts a file into the root folder of the machine, and returns its path there.
func (m *machine) mustCopy(tb testing.TB, path string) string {
	tb.Helper()
	content, err := os.ReadFile(path)
	require.NoError(tb, err)
	name := "/" + filepath.Base(path)
	require.NoError(tb, os.WriteFile(filepath.Join(m.root, name), content, 0o644))
	tb.Cleanup(func() { _ = os.Remove(filepath.Join(m.root, name)) })
	return name
}

// ours returns all paths of the upper layer in whose name the program is.
func (m *machine) ours(tb testing.TB) (paths []string) {
	tb.Helper()
	require.NoError(tb, filepath.WalkDir(m.upper, func(path string, entry fs.DirEntry, err error) error {
		// A character device is the mark of what is removed.
		if err == nil && strings.Contains(entry.Name(), "redis-observer") && entry.Type()&fs.ModeCharDevice == 0 && filepath.Dir(path) != m.upper {
			paths = append(paths, strings.TrimPrefix(path, m.upper))
		}
		return err
	}))
	return paths
}

// configuration of the package, changed by its user.
const changed = "ports: [6379, 6380]\n"

func (m *machine) config() string { return filepath.Join(m.root, "etc/redis-observer/observer.yaml") }

// assertUnit checks the unit of the package where it is installed.
func (m *machine) assertUnit(t *testing.T, path string) {
	t.Helper()
	assert.Empty(t, m.mustRun(t, "systemd-analyze", "verify", "--man=yes", path), "systemd warns of nothing")
	m.mustRun(t, "systemd-analyze", "security", "--offline=true", "--threshold=25", path)
	text, err := os.ReadFile(filepath.Join(m.root, path))
	require.NoError(t, err)
	assert.Contains(t, string(text), "\nExecStart=/usr/bin/redis-observer --config /etc/redis-observer/observer.yaml\n")
	assert.Contains(t, string(text), "\nConditionPathExists=/etc/redis-observer/observer.yaml\n")
}

func TestLintian(t *testing.T) {
	requireRoot(t, "lintian")
	deb := mustFind(t, "redis-observer_*_linux_amd64.deb") // that of arm64 differs by the program
	assert.Empty(t, mustOutput(t, "lintian", "--allow-root", "--fail-on=error,warning", "--tag-display-limit=0", deb))
}

// mustOlder returns the same package with a lower version, and another program, unit and configuration.
func mustOlder(tb testing.TB, deb string) string {
	tb.Helper()
	folder := filepath.Join(tb.TempDir(), "package")
	mustOutput(tb, "dpkg-deb", "-R", deb, folder)
	mustOutput(tb, "sed", "-i", "s/^Version: .*/Version: 0.0.0~0/", filepath.Join(folder, "DEBIAN/control"))
	mustOutput(tb, "sed", "-i", "1i # older", filepath.Join(folder, "etc/redis-observer/observer.yaml"))
	path := filepath.Join(tb.TempDir(), "older.deb")
	mustOutput(tb, "dpkg-deb", "-Znone", "-b", folder, path)
	return path
}

// As piuparts does it: installed, used, upgraded, removed and purged, it leaves nothing.
func TestDeb(t *testing.T) {
	requireRoot(t, "dpkg")
	deb := mustFind(t, "redis-observer_*_linux_amd64.deb")
	m := mustMachine(t)
	before := m.ours(t)

	m.mustRun(t, "dpkg", "-i", m.mustCopy(t, mustOlder(t, deb)))
	assert.Equal(t, "--system daemon-reload\n", m.calls(t), "a new installation starts nothing")
	require.NoError(t, os.WriteFile(m.config(), []byte(changed), 0o644))
	wanted := filepath.Join(m.root, "etc/systemd/system/multi-user.target.wants/redis-observer.service")
	require.NoError(t, os.MkdirAll(filepath.Dir(wanted), 0o755))
	require.NoError(t, os.Symlink("/lib/systemd/system/redis-observer.service", wanted)) // systemctl enable

	output := m.mustRun(t, "dpkg", "--force-confold", "-i", m.mustCopy(t, deb))
	assert.NotContains(t, output, "warning:")
	assert.Equal(t, "--system daemon-reload\ntry-restart redis-observer.service\n", strings.TrimPrefix(m.calls(t), "--system daemon-reload\n"))
	text, err := os.ReadFile(m.config())
	require.NoError(t, err)
	assert.Equal(t, changed, string(text), "the user's configuration stays")
	assert.Contains(t, m.mustRun(t, "redis-observer", "--version"), mustVersion(t))
	assert.Contains(t, m.mustRun(t, "redis-observer", "check", "--config", "/etc/redis-observer/observer.yaml"), "valid")
	assert.Equal(t, "??5?????? c /etc/redis-observer/observer.yaml\n", m.mustRun(t, "sh", "-c", "dpkg --verify redis-observer || true"), "all else is as packed")
	m.assertUnit(t, "/lib/systemd/system/redis-observer.service")

	m.mustRun(t, "dpkg", "-r", "redis-observer")
	assert.Contains(t, m.calls(t), "stop redis-observer.service\n")
	assert.FileExists(t, m.config(), "it stays until a purge")
	m.mustRun(t, "dpkg", "-P", "redis-observer")
	assert.Equal(t, before, m.ours(t), "left behind")
}

func TestRPM(t *testing.T) {
	requireRoot(t, "rpm")
	rpm := mustFind(t, "redis-observer_*_linux_amd64.rpm")
	m := mustMachine(t)
	before := m.ours(t)
	installed := m.mustCopy(t, rpm)
	m.mustRun(t, "rpm", "--nodeps", "-i", installed) // this machine's packages are Debian's
	assert.Equal(t, "daemon-reload\n", m.calls(t), "a new installation starts nothing")
	assert.Empty(t, m.mustRun(t, "rpm", "--nodeps", "-V", "redis-observer"))
	assert.Equal(t, "/etc/redis-observer/observer.yaml\n", m.mustRun(t, "rpm", "-qc", "redis-observer"))
	assert.Contains(t, m.mustRun(t, "redis-observer", "--version"), mustVersion(t))
	m.assertUnit(t, "/usr/lib/systemd/system/redis-observer.service")
	require.NoError(t, os.WriteFile(m.config(), []byte(changed), 0o644))

	m.mustRun(t, "rpm", "--nodeps", "-U", "--replacepkgs", installed)
	text, err := os.ReadFile(m.config())
	require.NoError(t, err)
	assert.Equal(t, changed, string(text), "the user's configuration stays")
	m.calls(t)

	m.mustRun(t, "rpm", "-e", "redis-observer")
	assert.Contains(t, m.calls(t), "--no-reload disable --now redis-observer.service\n")
	require.NoError(t, os.RemoveAll(m.config()+".rpmsave"))
	require.NoError(t, os.RemoveAll(filepath.Dir(m.config())))
	assert.Equal(t, before, m.ours(t), "left behind")
}

// What the packages do to a service is shell, which no compiler checks.
func TestPackageScripts(t *testing.T) {
	scripts, err := filepath.Glob(root + "/deploy/packages/*/p*")
	require.NoError(t, err)
	assert.Len(t, scripts, 6)
	for _, script := range scripts {
		mustOutput(t, "sh", "-n", script)
	}
}
