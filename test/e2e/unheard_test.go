package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// zeroCopy is struct tcp_zerocopy_receive, the argument of TCP_ZEROCOPY_RECEIVE.
type zeroCopy struct {
	address      uint64
	length       uint32 // wanted, then mapped
	skip         uint32 // bytes to receive otherwise
	queued       uint32
	err          int32
	copyTo       uint64
	copied       int32
	flags        uint32
	control      uint64
	controlLen   uint64
	controlFlags uint32
	_            uint32
}

// mapping receives without a call of the socket layer that receives: pages of a socket are mapped, and what is no page is copied.
type mapping struct {
	fd     int
	pages  []byte
	buffer []byte
	mapped int // bytes
}

// mustMapping maps a socket. The caller unmaps it: until then the socket lives.
func mustMapping(t *testing.T, fd int) *mapping {
	t.Helper()
	pages, err := unix.Mmap(fd, 0, 1<<20, unix.PROT_READ, unix.MAP_SHARED)
	require.NoError(t, err)
	return &mapping{fd: fd, pages: pages, buffer: make([]byte, 1<<16)}
}

func (m *mapping) mustUnmap(t *testing.T) {
	t.Helper()
	require.NoError(t, unix.Munmap(m.pages))
}

// receive waits for bytes and takes up to n of them. Where they can neither be mapped nor copied, it returns how many have to be received otherwise.
func (m *mapping) receive(n int) (taken []byte, skip int, err error) {
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLIN}}, int(patience.Milliseconds())); err != nil {
		return nil, 0, err
	}
	whole := min(n, len(m.pages)) &^ (os.Getpagesize() - 1)
	argument := zeroCopy{
		address: uint64(uintptr(unsafe.Pointer(&m.pages[0]))), length: uint32(whole),
		copyTo: uint64(uintptr(unsafe.Pointer(&m.buffer[0]))), copied: int32(min(n-whole, len(m.buffer))),
	}
	size := uint32(unsafe.Sizeof(argument))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(m.fd), unix.IPPROTO_TCP, unix.TCP_ZEROCOPY_RECEIVE,
		uintptr(unsafe.Pointer(&argument)), uintptr(unsafe.Pointer(&size)), 0)
	runtime.KeepAlive(m)
	if errno != 0 {
		return nil, 0, errno
	}
	m.mapped += int(argument.length)
	if argument.length > 0 {
		taken = append(taken, m.pages[:argument.length]...)
	}
	if argument.copied > 0 {
		taken = append(taken, m.buffer[:argument.copied]...)
	}
	return taken, int(argument.skip), nil
}

// mustTake receives exactly n bytes without a call that receives.
func (m *mapping) mustTake(t *testing.T, n int) {
	t.Helper()
	for n > 0 {
		taken, skip, err := m.receive(n)
		require.NoError(t, err)
		require.False(t, len(taken) == 0 && skip > len(m.buffer), "%d bytes can neither be mapped nor copied", skip)
		n -= len(taken)
	}
	require.Zero(t, n)
}

// Bytes that a client receives by calls that no probe sees are reported while it lives: as a connection that cannot be read.
func TestRepliesOfNoCall(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets show what is received in whatever way")
	receiving := map[string]func(m *mapping, n int){
		"TCP_ZEROCOPY_RECEIVE": func(m *mapping, n int) { m.mustTake(t, n) },
		"splice":               func(m *mapping, n int) { mustSplice(t, m.fd, n) },
	}
	for way, receive := range receiving {
		t.Run(way, func(t *testing.T) {
			r := mustRedis(t)
			o := mustObserverOf(t, shippedBinary, observing(r.Port))
			fd := r.mustSocket(t)
			m := mustMapping(t, fd)
			began := time.Now()
			for n := 0; ; n++ {
				mustMove(t, fd, ways["write"], [][]byte{request("PING")})
				receive(m, len("+PONG\r\n"))
				time.Sleep(20 * time.Millisecond)
				s := o.mustScrape()
				if s.value("redis_observer_connections_total", "kind=spliced") > 0 {
					t.Logf("reported after %v and %d commands", time.Since(began).Round(time.Millisecond), n)
					break
				}
				require.Less(t, time.Since(began), 15*time.Second, "it is not reported: %s", s)
			}
			s := o.mustScrape()
			assert.Empty(t, s.commands("default"))
			assert.Positive(t, s.sum("redis_observer_unpaired_commands_total", "reason=gap"), "what was asked meanwhile")
			for range 50 {
				mustMove(t, fd, ways["write"], [][]byte{request("PING")})
				receive(m, len("+PONG\r\n"))
			}
			m.mustUnmap(t)
			require.NoError(t, unix.Close(fd))
			s = o.mustSee("no connection left", func(s snapshot) bool { return s.value("redis_observer_tracked_connections") == 0 })
			assert.Equal(t, 1, s.value("redis_observer_connections_total", "kind=spliced"))
			assert.Zero(t, s.sum("redis_observer_gaps_total", "effect=broken"))
			assert.Empty(t, s.commands("default"))
		})
	}
}

// A value may be mapped: nothing of it passes a probe, and all else is read. Pages are mapped whole, so the network has to carry whole pages.
func TestValuesMapped(t *testing.T) {
	RequireProbes(t, "packets are those of one network namespace")
	const packets, times = 16, 4
	packet := 15 * os.Getpagesize()
	size := packets * packet
	e := mustEnds(t, 1)
	port := e.port()
	head := fmt.Sprintf("$%d\r\n", size)
	mustElsewhere(t, func() { mustNewNamespace(t) }, func() {
		const headers = 20 + 20 + 12 // IPv4, TCP, its time stamps
		mustMTU(t, "lo", packet+headers)
		listener, err := net.Listen("tcp", net.JoinHostPort(socketAddress, fmt.Sprint(port)))
		require.NoError(t, err)
		defer listener.Close()
		go serve(listener, func(conn net.Conn) {
			for asked := make([]byte, len(request("GET", "a"))); ; {
				if _, err := io.ReadFull(conn, asked); err != nil {
					return
				}
				if err := answerByPages(conn.(*net.TCPConn), head, size, packet); !assert.NoError(t, err) {
					return
				}
			}
		})
		fd := mustSocket(t, unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(socketAddress).As4()})
		m := mustMapping(t, fd)
		for range times {
			mustMove(t, fd, ways["write"], [][]byte{request("GET", "a")})
			mustMove(t, fd, ways["read"], [][]byte{make([]byte, len(head))})
			m.mustMap(t, size)
			mustMove(t, fd, ways["read"], [][]byte{make([]byte, len("\r\n"))})
		}
		t.Logf("%d of %d bytes were mapped", m.mapped, times*size)
		assert.Greater(t, m.mapped, times*size/2, "the pages lie otherwise")
		m.mustUnmap(t)
		require.NoError(t, unix.Close(fd))
	})
	e.assertCommands(t, port, counts{"get": times})
}

// answerByPages sends a reply whose value is made of pages that are nobody's but the socket's: those of a pipe. Others cannot be mapped.
func answerByPages(conn *net.TCPConn, head string, size, packet int) error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	_, err = io.WriteString(conn, head)
	for ; size > 0 && err == nil; size -= packet {
		_, err = unix.Write(pipe[1], bytes.Repeat([]byte("v"), packet))
		for left := packet; left > 0 && err == nil; {
			var moved int64
			var fault error
			err = raw.Write(func(fd uintptr) bool {
				moved, fault = unix.Splice(pipe[0], nil, int(fd), nil, left, unix.SPLICE_F_NONBLOCK)
				return fault != unix.EAGAIN
			})
			left -= int(moved)
			err = errors.Join(err, fault)
		}
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(conn, "\r\n")
	return err
}

// mustMap receives n bytes, and by a read only what cannot be mapped.
func (m *mapping) mustMap(t *testing.T, n int) {
	t.Helper()
	for n > 0 {
		before := m.mapped
		taken, skip, err := m.receive(n)
		require.NoError(t, err)
		if n -= len(taken); m.mapped == before && skip > 0 {
			skip = min(skip, n)
			mustMove(t, m.fd, ways["read"], [][]byte{make([]byte, skip)})
			n -= skip
		}
	}
}

// mustMTU sets how long the packets of an interface may be.
func mustMTU(t *testing.T, name string, mtu int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	change, err := unix.NewIfreq(name)
	require.NoError(t, err)
	change.SetUint32(uint32(mtu))
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFMTU, uintptr(unsafe.Pointer(change)))
	require.Zero(t, errno)
}
