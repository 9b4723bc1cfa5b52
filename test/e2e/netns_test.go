package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// mustElsewhere runs a function in another network namespace, which enter goes to, on this goroutine's thread. Without the right to do so
// it skips the test.
func mustElsewhere(tb testing.TB, enter, run func()) {
	tb.Helper()
	if err := unshareable(); err != nil {
		skip(tb, "needs CAP_SYS_ADMIN to make a network namespace: "+err.Error())
	}
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	require.NoError(tb, err)
	defer home.Close()
	// A thread that does not come home is not unlocked, and ends with its goroutine.
	defer func() {
		if assert.NoError(tb, unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)) {
			runtime.UnlockOSThread()
		}
	}()
	enter()
	run()
}

// mustNewNamespace goes to a new network namespace, whose loopback is up.
func mustNewNamespace(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, unix.Unshare(unix.CLONE_NEWNET))
	mustRaiseLoopback(tb)
}

// mustNamespaceOf goes to the network namespace of a process.
func mustNamespaceOf(tb testing.TB, process *os.Process) {
	tb.Helper()
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", process.Pid))
	require.NoError(tb, err)
	defer namespace.Close()
	require.NoError(tb, unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET))
}

func mustRaiseLoopback(tb testing.TB) {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(tb, err)
	defer unix.Close(fd)
	var ifreq [40]byte
	copy(ifreq[:], "lo")
	binary.NativeEndian.PutUint16(ifreq[unix.IFNAMSIZ:], unix.IFF_UP)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&ifreq)))
	require.Zero(tb, errno)
}

// Containers have network namespaces of their own: what is in them is observed, and listed, as well.
func TestNetworkNamespace(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are those of one network namespace")
	var r *redis
	var old, fresh *client
	mustElsewhere(t, func() { mustNewNamespace(t) }, func() {
		r = mustRedis(t)
		old = mustDial(t, r.Address())
	})
	old.mustDo("PING")
	_, err := dial(r.Address())
	require.Error(t, err, "the server is not in this namespace")

	o := mustObserver(t, observing(r.Port))
	first := o.mustScrape()
	available, inUse := first.pool("default")
	assert.Equal(t, []int{1, 0}, []int{available, inUse}, "first scrape")

	time.Sleep(200 * time.Millisecond) // so that the next request is known to be the only one outstanding
	mustElsewhere(t, func() { mustNamespaceOf(t, r.Command.Process) }, func() { fresh = mustDial(t, r.Address()) })
	r.mustResetStats()
	for _, c := range []*client{old, fresh} {
		for range 30 {
			c.mustDo("SET", "key", "value")
		}
	}
	assertExact(t, assertTruth(t, o, r, "default", nil))
	fresh.mustSend(request("BLPOP", "empty", "0"))
	o.mustSeePool("default", 1, 1)
	require.NoError(t, old.Close())
	fresh.mustReset()
	o.mustSeePool("default", 0, 0)
}

// Packets are seen in the observer's network namespace and in no other.
func TestPacketsAreOfOneNamespace(t *testing.T) {
	t.Parallel()
	RequireObserver(t)
	var elsewhere *redis
	var far *client
	mustElsewhere(t, func() { mustNewNamespace(t) }, func() {
		elsewhere = mustRedis(t)
		far = mustDial(t, elsewhere.Address())
	})
	here := mustRedis(t)
	o := mustObserver(t, observing(elsewhere.Port, here.Port)+"capture: {backend: packet}\n")
	near := mustDial(t, here.Address())
	for range 10 {
		far.mustDo("SET", "key", "value")
		near.mustDo("PING")
	}
	o.assertCommands("default", counts{"ping": 10})
	s := o.mustScrape()
	assert.Equal(t, 1, s.value("redis_observer_tracked_connections"))
	assertExact(t, s)
}

// unshareable says why no namespaces can be made.
var unshareable = sync.OnceValue(func() error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine, and the namespace with it
		result <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	return <-result
})

// inPIDNamespace runs the observer in a PID namespace of its own, as a pod without hostPID is: the processes of others are hidden from it.
func inPIDNamespace(command *exec.Cmd) {
	command.Args = append([]string{"sh", "-c", `mount -t proc proc /proc && exec "$@"`, "sh"}, command.Args...)
	command.Path = "/bin/sh"
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
}

// After a loss the connections are listed, and those that are gone are removed, but not those that a listing cannot see.
func TestHiddenConnectionsOutliveALoss(t *testing.T) {
	t.Parallel()
	var r *redis
	var pool []*client
	RequireProbes(t, "packets are of one network namespace")
	near := mustRedis(t)
	o := mustPreparedObserver(t, raceBinary, observing(near.Port)+"capture: {ring_size: 64KiB}\n", inPIDNamespace)
	mustElsewhere(t, func() { mustNewNamespace(t) }, func() {
		r = mustRedis(t)
		o.mustConfigure(observing(near.Port, r.Port) + "capture: {ring_size: 64KiB}\n")
		o.mustSignal(syscall.SIGHUP)
		o.mustSee("the other port", func(snapshot) bool { return strings.Contains(o.Log(), "configuration reloaded") })
		for range 100 {
			pool = append(pool, mustDial(t, r.Address()))
		}
	})
	for _, c := range pool {
		c.mustDo("PING")
	}
	seen := func(s snapshot) bool { return s.sum("redis_commands_total", "command=ping") == len(pool) }
	o.mustSee("the pool", seen)

	o.mustLoseEvents(near)
	time.Sleep(3 * time.Second) // connections that are not listed by then are removed
	for range 10 {
		for _, c := range pool {
			c.mustDo("PING")
		}
	}
	o.mustSee("the pool after the loss", func(s snapshot) bool {
		return s.sum("redis_commands_total", "command=ping") == 11*len(pool)
	})
	assert.Zero(t, o.mustScrape().value("redis_observer_lost_connections_total"))
}
