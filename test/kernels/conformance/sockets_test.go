package conformance

import (
	"bufio"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// testSockets talks on sockets that are not plain TCP, or not for all of their bytes.
func testSockets(t *testing.T, o *observer, server *redisServer) {
	t.Run("urgent byte", func(t *testing.T) {
		compare(t, o, server, func(t *testing.T) {
			c := mustConnect(t, server.Port, "127.0.0.1", plain)
			for range 10 {
				assert.Equal(t, "PONG", c.mustCall(t, "PING"))
				require.NoError(t, unix.Sendto(c.fd, []byte("x"), unix.MSG_OOB, nil))
			}
			testExchanges(t, c)
		})
	})
	t.Run("fast open", func(t *testing.T) {
		compare(t, o, server, func(t *testing.T) {
			c := mustSocket(t, 0)
			require.NoError(t, unix.Sendto(c.fd, request("PING"), unix.MSG_FASTOPEN, loopback(server.Port)))
			assert.Equal(t, "PONG", c.mustReply(t))
			testExchanges(t, c)
		})
	})
	t.Run("MPTCP", func(t *testing.T) { testMultipath(t, o, server) })
}

func loopback(port int) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

// mustSocket returns a client that is not connected. It skips the test where the kernel does not know the protocol.
func mustSocket(t *testing.T, protocol int) *client {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
	if protocol != 0 && err != nil {
		t.Skipf("the kernel has no such socket: %v", err)
	}
	require.NoError(t, err)
	c := &client{fd: fd, way: plain}
	c.reader = bufio.NewReader(c)
	t.Cleanup(c.close)
	return c
}

// testMultipath talks MPTCP to a server that does not: the client's socket stays another kind. It is either read or counted by its kind. Its
// end has to be reported in either case: the next connection may have a socket at the same address.
func testMultipath(t *testing.T, o *observer, server *redisServer) {
	counted := func() float64 { return o.mustScrape(t).Sum("redis_observer_connections_total", "kind=mptcp") }
	tracked := func() float64 { return o.mustScrape(t).Sum("redis_observer_tracked_connections") }
	time.Sleep(quiet) // what the tests before closed has ended by then
	before, others := counted(), tracked()
	c := mustSocket(t, unix.IPPROTO_MPTCP)
	require.NoError(t, unix.Connect(c.fd, loopback(server.Port)))
	time.Sleep(quiet)
	if counted() == before {
		compare(t, o, server, func(t *testing.T) { testExchanges(t, c) })
	} else {
		assert.Equal(t, "client", server.role, "Redis accepts a TCP socket")
		assert.NotEqual(t, "tracepoint", o.backend, "the socket layer sees every protocol")
		t.Log("MPTCP is counted by its kind")
		assert.Equal(t, before+1, counted())
	}
	c.close()
	eventually(t, func() bool { return tracked() == others }, "the end of the connection was not seen")
}
