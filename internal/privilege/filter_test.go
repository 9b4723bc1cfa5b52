//go:build amd64 || arm64

package privilege

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// inChild runs a test in a child process, because its effect is final, and in a binary without cgo,
// which it requires. It returns true in the child, which finds a directory of the parent in
// PRIVILEGE_TEST_DIR.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv("PRIVILEGE_TEST") == t.Name() {
		return true
	}
	output, err := child(t).CombinedOutput()
	assert.NoError(t, err, "%s", output)
	if bytes.Contains(output, []byte("--- SKIP")) {
		t.Skipf("%s", output)
	}
	return false
}

func child(t *testing.T) *exec.Cmd {
	t.Helper()
	binary, err := buildStatic()
	require.NoError(t, err)
	command := exec.Command(binary, "-test.run", "^"+t.Name()+"$", "-test.v")
	command.Env = append(os.Environ(), "PRIVILEGE_TEST="+t.Name(), "PRIVILEGE_TEST_DIR="+t.TempDir())
	return command
}

var staticDir string

var buildStatic = sync.OnceValues(func() (string, error) {
	var err error
	if staticDir, err = os.MkdirTemp("", "privilege"); err != nil {
		return "", err
	}
	path := filepath.Join(staticDir, "privilege.test")
	build := exec.Command("go", "test", "-c", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, output)
	}
	return path, os.Chmod(staticDir, 0o755)
})

func TestMain(m *testing.M) {
	status := m.Run()
	_ = os.RemoveAll(staticDir) // leftovers are in the temporary directory
	os.Exit(status)
}

// mustConfine drops all privileges, like the observer.
func mustConfine(t *testing.T) {
	t.Helper()
	_, err := Drop(0)
	require.NoError(t, err)
	require.NoError(t, Filter(false))
}

// The work of an observer continues, on old and new threads.
func TestFilterAllows(t *testing.T) {
	if !inChild(t) {
		return
	}
	ask, answers := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread()
		<-ask
		_, err := os.ReadFile("/proc/self/status")
		answers <- err
	}()
	mustConfine(t)
	close(ask)
	assert.NoError(t, <-answers)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = conn.Write([]byte("hello"))
			conn.Close()
		}
	}()
	conn, err := net.DialTimeout("tcp", listener.Addr().String(), time.Second)
	require.NoError(t, err)
	buffer := make([]byte, 5)
	_, err = conn.Read(buffer)
	assert.NoError(t, err)
	_, err = net.Interfaces()
	assert.NoError(t, err)
	_, err = os.ReadDir("/proc/self/fd")
	assert.NoError(t, err)
	_, err = filepath.EvalSymlinks("/proc/self")
	assert.NoError(t, err)
	started := make(chan struct{})
	for range 20 { // threads
		go func() {
			runtime.LockOSThread()
			started <- struct{}{}
			select {}
		}()
		<-started
	}
	debug.FreeOSMemory()
	_ = make([]byte, 256<<20)
	runtime.GC()
}

// The actions of an attacker fail.
func TestFilterRefuses(t *testing.T) {
	if !inChild(t) {
		return
	}
	path := filepath.Join(os.Getenv("PRIVILEGE_TEST_DIR"), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o666))
	mustConfine(t)
	refused := map[string]func() error{
		"write a file":  func() error { return os.WriteFile(path, []byte("x"), 0o600) },
		"append to it":  func() error { _, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0); return err },
		"create a file": func() error { _, err := os.Create(path + "2"); return err },
		"remove a file": func() error { return os.Remove(path) },
		"rename a file": func() error { return os.Rename(path, path+"3") },
		"change a mode": func() error { return os.Chmod(path, 0o777) },
		"a directory":   func() error { return os.Mkdir(path+"4", 0o700) },
		"a link":        func() error { return os.Symlink(path, path+"5") },
		"packets":       func() error { _, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); return err },
		"code in memory": func() error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
			return err
		},
		"memory as file": func() error { _, err := unix.MemfdCreate("x", 0); return err },
		"another user":   func() error { _, _, errno := unix.RawSyscall(unix.SYS_SETUID, 0, 0, 0); return errno },
		"a namespace":    func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"its probes":     func() error { _, err := unix.PerfEventOpen(&unix.PerfEventAttr{}, 0, -1, -1, 0); return err },
		"a program":      func() error { _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, 0, 0); return errno },
		"other signals":  func() error { return unix.Kill(os.Getppid(), 0) },
	}
	for what, attempt := range refused {
		assert.ErrorIs(t, attempt(), unix.EPERM, what)
	}
}

// Executing a program kills the process.
func TestFilterKills(t *testing.T) {
	if os.Getenv("PRIVILEGE_TEST") == t.Name() {
		mustConfine(t)
		_ = unix.Exec("/bin/true", []string{"true"}, nil)
		return
	}
	command := child(t)
	output, err := command.CombinedOutput()
	require.Error(t, err, "%s", output)
	status, _ := command.ProcessState.Sys().(syscall.WaitStatus)
	assert.Equal(t, syscall.SIGSYS, status.Signal(), "%s", output)
}

// All jumps of the compiled filter are in range, for both kinds of observers.
func TestAssemble(t *testing.T) {
	for _, write := range []bool{false, true} {
		program, err := assemble(rules(write))
		require.NoError(t, err)
		assert.Less(t, len(program), 1000)
		seen := map[uint32]bool{}
		for _, r := range rules(write) {
			assert.False(t, seen[r.call], "call %d has two rules", r.call)
			seen[r.call] = true
		}
	}
}

func TestLeave(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, which is what is left")
	}
	if !inChild(t) {
		return
	}
	secret := filepath.Join(os.Getenv("PRIVILEGE_TEST_DIR"), "secret")
	require.NoError(t, os.WriteFile(secret, nil, 0o600))
	before, err := Held()
	require.NoError(t, err)
	read := func() error {
		assert.Equal(t, User, os.Geteuid())
		_, err := os.ReadFile(secret)
		return err
	}
	err = Leave(read)
	if errors.Is(err, unix.EPERM) {
		t.Skip(err) // root may not change users here
	}
	// If another user cannot read the file, the process stays root.
	require.ErrorIs(t, err, os.ErrPermission)
	assert.Zero(t, os.Getuid())
	assert.Zero(t, os.Geteuid())
	assert.Zero(t, os.Getegid())
	held, err := Held()
	require.NoError(t, err)
	assert.Equal(t, before, held)
	_, err = os.ReadFile(secret)
	assert.NoError(t, err)

	assert.True(t, Works(0, func() error { return nil }), "its thread may still be there")
	require.NoError(t, Leave(func() error { return nil }))
	held, err = Held()
	require.NoError(t, err)
	assert.Equal(t, before, held, "capabilities are a matter of their own")
	keep := Of(unix.CAP_BPF)
	_, err = Drop(keep)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { // another thread
		defer close(done)
		runtime.LockOSThread()
		assert.Equal(t, [3]int{User, User, User}, users())
		held, _ := Held()
		assert.Equal(t, before&keep, held)
		_, err := os.ReadFile(secret)
		assert.ErrorIs(t, err, os.ErrPermission)
		assert.Error(t, unix.Setuid(0))
	}()
	<-done
	groups, err := unix.Getgroups()
	assert.NoError(t, err)
	assert.Empty(t, groups)
}

func users() [3]int {
	r, e, s := unix.Getresuid()
	return [3]int{r, e, s}
}
