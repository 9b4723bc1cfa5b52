package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// mustEnds starts an observer at each end of the connections to a port.
func mustEnds(tb testing.TB, port int) map[string]*observer {
	tb.Helper()
	ends := make(map[string]*observer)
	for _, role := range []string{"client", "server"} {
		ends[role] = mustObserver(tb, fmt.Sprintf("endpoints: [{name: %s, addresses: ['*:%d'], role: %s}]\n", role, port, role))
	}
	return ends
}

// assertEnds checks that both ends counted the same commands, and lost nothing.
func assertEnds(t *testing.T, ends map[string]*observer, want counts) {
	t.Helper()
	for role, o := range ends {
		o.assertCommands(role, want)
		s := o.mustSee("no connection left", func(s snapshot) bool { return s.value("redis_observer_tracked_connections") == 0 })
		assert.Empty(t, s.losses(), role)
		assert.Equal(t, want.total(), s.sum("redis_commands_total", "status=success"), role)
		assert.Equal(t, want.total(), s.sum("redis_command_duration_seconds"), role)
	}
}

// answerPings answers each PING.
func answerPings(conn net.Conn) {
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		if strings.TrimSpace(line) != "PING" {
			continue
		}
		if _, err := io.WriteString(conn, "+PONG\r\n"); err != nil {
			return
		}
	}
}

// requireKernel skips the test where the kernel cannot make such a socket.
func requireKernel(tb testing.TB, domain, protocol int) {
	tb.Helper()
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		tb.Skipf("this kernel has no such sockets: %v", err)
	}
	require.NoError(tb, unix.Close(fd))
}

// An end that speaks MPTCP to one that does not falls back to TCP, and stays another kind of socket if it is the client's.
func TestMultipathTCP(t *testing.T) {
	requireKernel(t, unix.AF_INET, unix.IPPROTO_MPTCP)
	for _, at := range []struct {
		name           string
		client, server bool
	}{{"both", true, true}, {"client", true, false}, {"server", false, true}} {
		for _, address := range []string{"127.0.0.1", "::1"} {
			t.Run(at.name+" "+address, func(t *testing.T) {
				t.Parallel()
				port := mustPort(t)
				ends := mustEnds(t, port)
				var listening net.ListenConfig
				listening.SetMultipathTCP(at.server)
				listener, err := listening.Listen(t.Context(), "tcp", net.JoinHostPort(address, fmt.Sprint(port)))
				require.NoError(t, err)
				defer listener.Close()
				go serve(listener, answerPings)
				var dialer net.Dialer
				dialer.SetMultipathTCP(at.client)
				for range 3 {
					conn, err := dialer.Dial("tcp", listener.Addr().String())
					require.NoError(t, err)
					c := &client{tb: t, conn: conn.(*net.TCPConn), reader: bufio.NewReader(conn)}
					for range 20 {
						c.mustDo("PING")
					}
					c.mustSend(repeat(1000, "PING"))
					c.mustReceive(1000)
					require.NoError(t, conn.Close())
				}
				assertEnds(t, ends, counts{"ping": 3 * 1020})
			})
		}
	}
}

// serve serves each connection of a listener until it is closed.
func serve(listener net.Listener, with func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			with(conn)
		}()
	}
}

// mustSet writes a setting of the current network namespace.
func mustSet(tb testing.TB, name, value string) {
	tb.Helper()
	require.NoError(tb, os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o600))
}

// What a client sends with its SYN is in the stream before the connection is open.
func TestFastOpen(t *testing.T) {
	for _, way := range []string{"sendto", "connect"} {
		for _, server := range []string{"taken", "ignored"} {
			t.Run(way+" "+server, func(t *testing.T) {
				t.Parallel()
				port := mustPort(t)
				ends := mustEnds(t, port)
				const connections = 4 // the first has no cookie yet
				mustElsewhere(t, func() { mustNewNamespace(t) }, func() {
					mustSet(t, "ipv4/tcp_fastopen", "3")
					listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
					require.NoError(t, err)
					defer listener.Close()
					if server == "taken" {
						mustOption(t, listener.(*net.TCPListener), unix.TCP_FASTOPEN, 16)
					}
					go serve(listener, answerPings)
					for i := range connections {
						mustOpenFast(t, way, port, i%2 == 1)
					}
				})
				assertEnds(t, ends, counts{"ping": connections * 100})
			})
		}
	}
}

// mustOption sets an option of TCP on a socket.
func mustOption(tb testing.TB, socket syscall.Conn, option, value int) {
	tb.Helper()
	raw, err := socket.SyscallConn()
	require.NoError(tb, err)
	var failed error
	require.NoError(tb, raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, value) }))
	require.NoError(tb, failed)
}

// mustOpenFast sends the first of 100 commands before the connection is open.
func mustOpenFast(tb testing.TB, way string, port int, blocking bool) {
	tb.Helper()
	to := &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(tb, err)
	defer unix.Close(fd)
	require.NoError(tb, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience.Seconds())}))
	require.NoError(tb, unix.SetNonblock(fd, !blocking))
	if way == "sendto" {
		err = unix.Sendto(fd, request("PING"), unix.MSG_FASTOPEN, to)
	} else {
		require.NoError(tb, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1))
		if err = unix.Connect(fd, to); err == nil || err == unix.EINPROGRESS {
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(patience.Milliseconds()))
			require.NoError(tb, err)
			_, err = unix.Write(fd, request("PING"))
		}
	}
	if err == unix.EINPROGRESS { // there is no cookie yet, and nothing was taken
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(patience.Milliseconds()))
		require.NoError(tb, err)
		_, err = unix.Write(fd, request("PING"))
	}
	require.NoError(tb, err)
	require.NoError(tb, unix.SetNonblock(fd, false))
	reply := make([]byte, len("+PONG\r\n"))
	mustMove(tb, fd, ways["read"], [][]byte{reply})
	for range 99 {
		mustMove(tb, fd, ways["write"], [][]byte{request("PING")})
		mustMove(tb, fd, ways["read"], [][]byte{reply})
	}
}
