package e2e

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// way is a system call that moves the bytes of some buffers from or to a socket; of one buffer where it takes only one.
type way func(fd int, buffers [][]byte) (int, error)

var ways = map[string]way{
	"read":     func(fd int, b [][]byte) (int, error) { return unix.Read(fd, b[0]) },
	"readv":    unix.Readv,
	"recvfrom": func(fd int, b [][]byte) (int, error) { n, _, err := unix.Recvfrom(fd, b[0], 0); return n, err },
	"recvmsg": func(fd int, b [][]byte) (int, error) {
		n, _, _, _, err := unix.RecvmsgBuffers(fd, b, nil, 0)
		return n, err
	},
	"recvmmsg": func(fd int, b [][]byte) (int, error) { return messages(unix.SYS_RECVMMSG, fd, b) },
	"write":    func(fd int, b [][]byte) (int, error) { return unix.Write(fd, b[0]) },
	"writev":   unix.Writev,
	"sendto":   func(fd int, b [][]byte) (int, error) { return len(b[0]), unix.Sendto(fd, b[0], 0, nil) },
	"sendmsg":  func(fd int, b [][]byte) (int, error) { return unix.SendmsgBuffers(fd, b, nil, nil, 0) },
	"sendmmsg": func(fd int, b [][]byte) (int, error) { return messages(unix.SYS_SENDMMSG, fd, b) },
}

var (
	receiving = []string{"read", "readv", "recvfrom", "recvmsg", "recvmmsg"}
	sending   = []string{"write", "writev", "sendto", "sendmsg", "sendmmsg"}
)

// message is a struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// messages moves buffers with recvmmsg or sendmmsg: two messages, with half of the buffers each, or one. A receive does not wait for the second.
func messages(call uintptr, fd int, buffers [][]byte) (int, error) {
	vectors := make([]unix.Iovec, len(buffers))
	for i, b := range buffers {
		vectors[i].Base = unsafe.SliceData(b)
		vectors[i].SetLen(len(b))
	}
	all := make([]message, 0, 2)
	for _, half := range [][]unix.Iovec{vectors[:len(vectors)/2], vectors[len(vectors)/2:]} {
		if len(half) > 0 {
			m := message{header: unix.Msghdr{Iov: &half[0]}}
			m.header.SetIovlen(len(half))
			all = append(all, m)
		}
	}
	n, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&all[0])), uintptr(len(all)), unix.MSG_WAITFORONE, 0, 0)
	runtime.KeepAlive(buffers)
	if errno != 0 {
		return 0, errno
	}
	total := 0
	for _, m := range all[:n] {
		total += int(m.length)
	}
	return total, nil
}

// mustSocket connects a blocking socket.
func mustSocket(tb testing.TB, family int, to unix.Sockaddr) int {
	tb.Helper()
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(tb, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience.Seconds())}))
	require.NoError(tb, unix.Connect(fd, to))
	return fd
}

func (r *redis) mustSocket(tb testing.TB) int {
	tb.Helper()
	return mustSocket(tb, unix.AF_INET, &unix.SockaddrInet4{Port: r.Port, Addr: [4]byte{127, 0, 0, 1}})
}

// split cuts b into n segments, the first of them empty if there are many.
func split(b []byte, n int) [][]byte {
	segments := make([][]byte, 0, n)
	if n > 3 {
		segments = append(segments, nil)
		n--
	}
	for ; n > 0; n-- {
		size := len(b) / n
		segments = append(segments, b[:size])
		b = b[size:]
	}
	return segments
}

// rest returns what is left of segments behind the first n bytes.
func rest(segments [][]byte, n int) [][]byte {
	for len(segments) > 0 && n >= len(segments[0]) {
		n -= len(segments[0])
		segments = segments[1:]
	}
	if len(segments) > 0 {
		segments = append([][]byte{segments[0][n:]}, segments[1:]...)
	}
	return segments
}

// mustMove moves all bytes of some segments in one way.
func mustMove(tb testing.TB, fd int, move way, segments [][]byte) {
	tb.Helper()
	for segments = rest(segments, 0); len(segments) > 0; {
		n, err := move(fd, segments)
		if err == unix.EINTR {
			continue
		}
		require.NoError(tb, err)
		require.Positive(tb, n, "closed")
		segments = rest(segments, n)
	}
}

// mustExchange sends a request and receives the bytes of its reply, in segments.
func mustExchange(tb testing.TB, fd int, send, receive way, segments int, request []byte, reply int) {
	tb.Helper()
	mustMove(tb, fd, send, split(request, segments))
	mustMove(tb, fd, receive, split(make([]byte, reply), segments))
}

func TestSystemCalls(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port))
	value := strings.Repeat("v", 4000) // the body of a longer one would not be read
	bulk := len(fmt.Sprintf("$%d\r\n%s\r\n", len(value), value))
	for _, send := range sending {
		for _, receive := range receiving {
			t.Run(send+" "+receive, func(t *testing.T) {
				before := o.mustScrape()
				fd := r.mustSocket(t)
				want := make(counts)
				for _, segments := range []int{1, 3, 100, 1024} {
					mustExchange(t, fd, ways[send], ways[receive], segments, request("SET", "key", value), len("+OK\r\n"))
					mustExchange(t, fd, ways[send], ways[receive], segments, request("GET", "key"), bulk)
					mustExchange(t, fd, ways[send], ways[receive], segments, repeat(500, "PING"), 500*len("+PONG\r\n"))
					want["set"]++
					want["get"]++
					want["ping"] += 500
				}
				s := o.mustSee("all commands", func(s snapshot) bool {
					return s.commands("default").since(before.commands("default")).total() >= want.total() || s.losses().total() > before.losses().total()
				})
				assert.Equal(t, want, s.commands("default").since(before.commands("default")))
				assert.Empty(t, s.losses().since(before.losses()))
			})
		}
	}
	assert.Zero(t, o.mustScrape().sum("redis_observer_gaps_total"), "every byte was read")
}

func TestPeekIsNoRead(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port))
	fd := r.mustSocket(t)
	buffer := make([]byte, 16)
	for range 50 {
		mustMove(t, fd, ways["write"], [][]byte{request("PING")})
		for range 3 {
			_, _, err := unix.Recvfrom(fd, buffer, unix.MSG_PEEK)
			require.NoError(t, err)
			_, _, _, _, err = unix.RecvmsgBuffers(fd, [][]byte{buffer}, nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
			require.NoError(t, err)
		}
		mustMove(t, fd, ways["read"], [][]byte{buffer[:len("+PONG\r\n")]})
	}
	o.assertCommands("default", counts{"ping": 50})
	assertExact(t, o.mustScrape())
}

func TestRepliesReadByteByByte(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port))
	fd := r.mustSocket(t)
	// Requests arrive byte by byte as well.
	for _, b := range append(repeat(20, "ECHO", "hello"), request("LRANGE", "none", "0", "-1")...) {
		mustMove(t, fd, ways["write"], [][]byte{{b}})
	}
	for range 20*len("$5\r\nhello\r\n") + len("*0\r\n") {
		mustMove(t, fd, ways["read"], [][]byte{make([]byte, 1)})
	}
	o.assertCommands("default", counts{"echo": 20, "lrange": 1})
	assertExact(t, o.mustScrape())
}

// A socket that takes only part of what is offered, or nothing, was sent only what it took.
func TestShortSends(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port))
	fd := r.mustSocket(t)
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 20000))
	short, refused := 0, 0
	for _, send := range []string{"write", "writev", "sendmsg"} {
		require.NoError(t, unix.SetNonblock(fd, true))
		for left := [][]byte{request("SET", "key", strings.Repeat("v", 3<<20)), repeat(3, "PING")}; len(left) > 0; {
			n, err := ways[send](fd, left)
			if err == unix.EAGAIN {
				refused++
				_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(patience.Milliseconds()))
				n = 0
			}
			if err != unix.EINTR {
				require.NoError(t, err)
			}
			left = rest(left, max(n, 0))
			short++
		}
		require.NoError(t, unix.SetNonblock(fd, false))
		mustMove(t, fd, ways["read"], [][]byte{make([]byte, len("+OK\r\n")+3*len("+PONG\r\n"))})
	}
	require.Greater(t, short, 10)
	require.Positive(t, refused)
	o.assertCommands("default", counts{"set": 3, "ping": 9})
	assertExact(t, o.mustScrape())
}

func TestThreadsShareAConnection(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port)+roomy)
	for _, writers := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d writers and a reader", writers), func(t *testing.T) {
			before := o.mustScrape().commands("default")
			fd := r.mustSocket(t)
			const each = 4000
			ping := request("PING")
			var group sync.WaitGroup
			for range writers {
				group.Go(func() {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					for range each {
						if n, err := unix.Write(fd, ping); !assert.NoError(t, err) || !assert.Equal(t, len(ping), n) {
							return
						}
					}
				})
			}
			replies := make([]byte, writers*each*len("+PONG\r\n"))
			mustMove(t, fd, ways["read"], [][]byte{replies})
			group.Wait()
			require.Equal(t, writers*each, bytes.Count(replies, []byte("+PONG\r\n")))
			s := o.mustSee("all commands", func(s snapshot) bool {
				return s.commands("default").since(before).total() >= writers*each || len(s.losses()) > 0
			})
			assert.Equal(t, counts{"ping": writers * each}, s.commands("default").since(before))
			assertExact(t, s)
		})
	}
}

func TestLargeValues(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port)+roomy)
	c := mustDial(t, r.Address())
	for _, mib := range []int{1, 20} {
		value := strings.Repeat("*1\r\n$4\r\nPING\r\n", mib<<20/14)
		c.mustDo("SET", "key", value)
		c.mustDo("GET", "key")
		c.mustSend(request("SET", "key", value))
		c.mustSend(request("GET", "key"), request("DEL", "key"))
		c.mustReceive(3)
	}
	o.assertCommands("default", counts{"set": 4, "get": 4, "del": 2})
	assertExact(t, o.mustScrape())
}
