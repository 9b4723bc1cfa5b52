package e2e

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// mustPathSocket connects a blocking socket, which threads use side by side: Go's connections have them wait for each other.
func mustPathSocket(tb testing.TB, path string) (fd int, stop func()) {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(tb, err)
	stop = sync.OnceFunc(func() { assert.NoError(tb, unix.Close(fd)) }) // once: then another test may have the number
	tb.Cleanup(stop)
	limit := unix.NsecToTimeval(settled.Nanoseconds())
	require.NoError(tb, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	require.NoError(tb, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
	require.NoError(tb, unix.Connect(fd, &unix.SockaddrUnix{Name: path}))
	return fd, stop
}

// uninterrupted repeats a call that a signal ended before it moved anything: with a time limit the kernel does not do that itself.
func uninterrupted(call func(int, []byte) (int, error), fd int, bytes []byte) (n int, err error) {
	for n, err = call(fd, bytes); err == unix.EINTR; {
		n, err = call(fd, bytes)
	}
	return n, err
}

// onThreads runs a function on so many threads at once.
func onThreads(n int, f func(thread int)) (wait func()) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			f(i)
		})
	}
	return group.Wait
}

// Threads write whole requests to one socket, and others read the replies, all side by side. The server reads them in one order. At the
// client's end it may take another one: then a command has the reply of another, or what is not known is counted as lost.
func TestUnixSocketThreads(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		for _, readers := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d reading", role, readers), func(t *testing.T) {
				t.Parallel()
				testPathThreads(t, role, readers)
			})
		}
	}
}

func testPathThreads(t *testing.T, role string, readers int) {
	const each, batch = 2000, 4
	r := mustRedis(t)
	r.mustControl("SET", "text", "x")
	o := mustObserver(t, observingPath(role, r.Socket)+roomy)
	r.mustResetStats()
	fd, stop := mustPathSocket(t, r.Socket)
	kinds := [][]byte{repeat(batch, "PING"), repeat(batch, "LPUSH", "text", "y"), repeat(batch, "GET", "text")}
	replies := each * batch * len("+PONG\r\n$1\r\nx\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")
	var received atomic.Int64
	read := onThreads(readers, func(int) {
		buffer := make([]byte, 4096)
		for received.Load() < int64(replies) {
			n, err := uninterrupted(unix.Read, fd, buffer)
			if !assert.NoError(t, err) || n == 0 {
				return
			}
			if received.Add(int64(n)) == int64(replies) {
				_ = unix.Shutdown(fd, unix.SHUT_RD) // wakes the other one
			}
		}
	})
	onThreads(len(kinds), func(i int) {
		for range each {
			if n, err := uninterrupted(unix.Write, fd, kinds[i]); !assert.NoError(t, err) || !assert.Len(t, kinds[i], n) {
				return
			}
		}
	})()
	read()
	stop()
	want := r.mustStats()
	require.Equal(t, counts{"ping": each * batch, "lpush": each * batch, "get": each * batch}, want)
	accounted := func(s snapshot) int {
		return s.pathCommands().total() + s.sum("redis_observer_unpaired_commands_total") - s.sum("redis_observer_unpaired_commands_total", "reason=unsolicited")
	}
	o.mustSee("all commands, counted or said to be lost", func(s snapshot) bool { return accounted(s) >= want.total() })
	o.mustSeePool("path", 0, 0)

	s := o.mustScrape()
	failed := s.sum("redis_commands_total", "status=error")
	if role == "client" && readers > 1 && len(s.losses()) > 0 {
		assert.Equal(t, want.total(), accounted(s), "commands, counted or said to be lost")
		assert.LessOrEqual(t, failed, each*batch)
		return
	}
	assert.Equal(t, want, s.pathCommands())
	assertExact(t, s)
	assert.Equal(t, each*batch, failed, "errors of all commands")
	if role == "server" {
		assert.Equal(t, failed, s.sum("redis_commands_total", "status=error", "command=lpush"))
	}
}
