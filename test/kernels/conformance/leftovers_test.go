package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// object is a thing of the BPF subsystem.
type object struct {
	kind string
	id   uint32
}

// kinds are the fields of /proc/PID/fdinfo that hold identifiers, with the command that opens an object by its identifier.
var kinds = map[string]uintptr{
	"prog_id": unix.BPF_PROG_GET_FD_BY_ID,
	"map_id":  unix.BPF_MAP_GET_FD_BY_ID,
	"link_id": unix.BPF_LINK_GET_FD_BY_ID,
}

// mustOwn returns the objects that a process holds.
func mustOwn(t *testing.T, pid int) []object {
	t.Helper()
	var objects []object
	for _, text := range mustDescribe(t, pid) {
		for line := range strings.Lines(text) {
			var o object
			if n, _ := fmt.Sscanf(strings.Replace(line, ":", " ", 1), "%s %d", &o.kind, &o.id); n == 2 && kinds[o.kind] != 0 {
				objects = append(objects, o)
			}
		}
	}
	require.NotEmpty(t, objects, "the observer holds no program")
	return objects
}

// mustDescribe returns what the kernel tells of each open file of a process.
func mustDescribe(t *testing.T, pid int) (texts []string) {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	require.NoError(t, err)
	for _, path := range paths {
		if text, err := os.ReadFile(path); err == nil { // else it was closed meanwhile
			texts = append(texts, string(text))
		}
	}
	return texts
}

// exists says whether the kernel still knows the object.
func (o object) exists() bool {
	attributes := [8]uint32{o.id}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, kinds[o.kind], uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	if errno == 0 {
		unix.Close(int(fd))
	}
	return errno != unix.ENOENT
}

func testKill(t *testing.T, o *observer) {
	objects := mustOwn(t, o.PID())
	require.NoError(t, o.Process.Stop(unix.SIGKILL))
	mustBeGone(t, objects)
}

// testStop ends an observer that began after another was killed: what that one left in tracefs is gone then, too.
func testStop(t *testing.T, o *observer) {
	objects := mustOwn(t, o.PID())
	require.NoError(t, o.Process.Stop(unix.SIGTERM))
	assert.Zero(t, o.ExitCode(), "%s", o.Log())
	mustBeGone(t, objects)
	events, err := os.ReadFile("/sys/kernel/tracing/kprobe_events")
	if err == nil {
		assert.NotContains(t, string(events), "redis_observer", "definitions remain in tracefs")
	}
}

// mustBeGone waits, because the kernel frees what it has when nothing uses it any more.
func mustBeGone(t *testing.T, objects []object) {
	t.Helper()
	for _, o := range objects {
		eventually(t, func() bool { return !o.exists() }, "%s %d remains", o.kind, o.id)
	}
	pins, err := filepath.Glob("/sys/fs/bpf/*redis*")
	require.NoError(t, err)
	assert.Empty(t, pins, "pinned objects remain")
	if os.Getenv("CONFORMANCE_ALONE") == "" {
		return
	}
	// Whatever the process did not hold itself.
	for kind, command := range map[string]uintptr{
		"programs": unix.BPF_PROG_GET_NEXT_ID, "maps": unix.BPF_MAP_GET_NEXT_ID, "links": unix.BPF_LINK_GET_NEXT_ID,
	} {
		eventually(t, func() bool { return none(command) }, "%s remain", kind)
	}
	pins, err = filepath.Glob("/sys/fs/bpf/*")
	require.NoError(t, err)
	assert.Empty(t, pins, "pinned objects remain")
}

// none says whether the kernel knows no object at all of a kind.
func none(nextID uintptr) bool {
	attributes := [8]uint32{0}
	_, _, errno := unix.Syscall(unix.SYS_BPF, nextID, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes))
	return errno == unix.ENOENT
}
