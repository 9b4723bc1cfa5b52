package conformance

import (
	"bufio"
	"errors"
	"io"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// client is a connection that reaches the socket layer in one of several ways.
type client struct {
	fd     int
	way    way
	reader *bufio.Reader
	short  int // writes of which a part was taken, or nothing
}

// mustConnect connects to an address of this machine; an IPv4-mapped one gives an IPv6 socket with IPv4 traffic.
func mustConnect(t *testing.T, port int, address string, way way) *client {
	t.Helper()
	ip := netip.MustParseAddr(address)
	var remote unix.Sockaddr = &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
	family := unix.AF_INET6
	if ip.Is4() {
		remote, family = &unix.SockaddrInet4{Port: port, Addr: ip.As4()}, unix.AF_INET
	}
	return mustConnectTo(t, family, remote, way)
}

func mustConnectTo(t *testing.T, family int, remote unix.Sockaddr, way way) *client {
	t.Helper()
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	c := &client{fd: fd, way: way}
	c.reader = bufio.NewReaderSize(c, 16<<10)
	t.Cleanup(c.close)
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	require.NoError(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	if family != unix.AF_UNIX {
		require.NoError(t, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	}
	require.NoError(t, unix.Connect(fd, remote))
	if way.nonBlocking {
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10))
		require.NoError(t, unix.SetNonblock(fd, true))
	}
	return c
}

func (c *client) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}

// Write implements io.Writer: it goes on until everything was taken.
func (c *client) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n, err := c.way.write(c.fd, p[done:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			c.short++
			err = c.poll(unix.POLLOUT)
		case err == nil && n < len(p)-done && c.way.nonBlocking:
			c.short++
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return done, err
		}
		done += max(n, 0)
	}
	return len(p), nil
}

// Read implements io.Reader.
func (c *client) Read(p []byte) (int, error) {
	for {
		n, err := c.way.read(c.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN) && c.way.nonBlocking:
			if err := c.poll(unix.POLLIN); err != nil {
				return 0, err
			}
		case err == nil && n == 0:
			return 0, io.EOF
		default:
			return max(n, 0), err
		}
	}
}

func (c *client) poll(events int16) error {
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: events}}
	n, err := unix.Poll(fds, int(patience.Milliseconds()))
	if err == nil && n == 0 {
		return unix.ETIMEDOUT
	}
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// mustCall sends a command and returns its reply.
func (c *client) mustCall(t *testing.T, arguments ...string) string {
	t.Helper()
	_, err := c.Write(request(arguments...))
	require.NoError(t, err)
	return c.mustReply(t)
}

func (c *client) mustReply(t *testing.T) string {
	t.Helper()
	reply, err := resp.Read(c.reader)
	require.NoError(t, err)
	return last(reply)
}
