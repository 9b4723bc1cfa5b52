package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit"
)

// socketAddress is nobody else's.
const socketAddress = "127.77.0.1"

// ends are the observers of both ends of the connections to some ports.
type ends struct {
	observers map[string]*observer // by role
	ports     []int
	next      int
}

// mustEnds starts them.
func mustEnds(tb testing.TB, ports int) *ends {
	tb.Helper()
	e := &ends{observers: make(map[string]*observer)}
	for range ports {
		e.ports = append(e.ports, mustPort(tb))
	}
	for _, role := range []string{"client", "server"} {
		config := "endpoints:\n"
		for _, port := range e.ports {
			config += fmt.Sprintf("  - {name: port-%[1]d, addresses: ['%[2]s:%[1]d', '[::1]:%[1]d'], role: %[3]s}\n", port, socketAddress, role)
		}
		e.observers[role] = mustObserverOf(tb, shippedBinary, config)
	}
	return e
}

// port returns one that was not used yet.
func (e *ends) port() int {
	e.next++
	return e.ports[e.next-1]
}

// assertCommands checks that both ends counted the same commands of a port, all of which were answered.
func (e *ends) assertCommands(t *testing.T, port int, want counts) {
	t.Helper()
	name := fmt.Sprintf("port-%d", port)
	for role, o := range e.observers {
		o.mustSee(role+" "+name, func(s snapshot) bool { return s.commands(name).total() >= want.total() || len(s.losses()) > 0 })
		s := o.mustSee("no connection left", func(s snapshot) bool { return s.value("redis_observer_tracked_connections") == 0 })
		assert.Equal(t, want, s.commands(name), role)
		assert.Equal(t, want.total(), s.sum("redis_commands_total", "name="+name, "status=success"), role)
		assert.Equal(t, want.total(), s.sum("redis_command_duration_seconds", "name="+name), role)
		assert.Empty(t, s.losses(), role)
	}
}

// answerPings answers each PING.
func answerPings(conn net.Conn) {
	ping := request("PING")
	buffer, left := make([]byte, 1<<16), []byte(nil)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		left = append(left, buffer[:n]...)
		pings := bytes.Count(left, ping)
		if pings == 0 {
			continue
		}
		left = left[bytes.LastIndex(left, ping)+len(ping):]
		if _, err := conn.Write(bytes.Repeat([]byte("+PONG\r\n"), pings)); err != nil {
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
	t.Parallel()
	requireKernel(t, unix.AF_INET, unix.IPPROTO_MPTCP)
	e := mustEnds(t, 6)
	for _, at := range []struct {
		name           string
		client, server bool
	}{{"both", true, true}, {"client", true, false}, {"server", false, true}} {
		for _, address := range []string{socketAddress, "::1"} {
			t.Run(at.name+" "+address, func(t *testing.T) {
				port := e.port()
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
					multipath, err := conn.(*net.TCPConn).MultipathTCP()
					require.NoError(t, err)
					require.Equal(t, at.client && at.server, multipath, "no fallback")
					c := &client{t, kit.NewClient(conn.(*net.TCPConn))}
					for range 20 {
						c.mustDo("PING")
					}
					c.mustSend(repeat(1000, "PING"))
					c.mustReceive(1000)
					require.NoError(t, conn.Close())
				}
				e.assertCommands(t, port, counts{"ping": 3 * 1020})
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

// What a client sends with its SYN is in the stream before the connection is open. Whether the server takes it or not, it gets there.
func TestFastOpen(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets are those of one network namespace")
	e := mustEnds(t, 4)
	for _, way := range []string{"sendto", "connect"} {
		for _, server := range []string{"taken", "ignored"} {
			t.Run(way+" "+server, func(t *testing.T) {
				port := e.port()
				const connections = 4 // the first has no cookie yet
				mustElsewhere(t, func() { mustNewNamespace(t) }, func() {
					mustSet(t, "ipv4/tcp_fastopen", "3")
					listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", socketAddress, port))
					require.NoError(t, err)
					defer listener.Close()
					if server == "taken" {
						mustOption(t, listener.(*net.TCPListener), unix.TCP_FASTOPEN, 16)
					}
					go serve(listener, answerPings)
					for i := range connections {
						mustOpenFast(t, way, port, i%2 == 1, repeat(1, "PING"))
						mustOpenFast(t, way, port, true, repeat(10_000, "PING"))
					}
					if server == "taken" {
						assert.GreaterOrEqual(t, mustStatistic(t, "TCPFastOpenPassive"), 2*connections-1, "connections opened fast")
					}
				})
				e.assertCommands(t, port, counts{"ping": connections * (100 + 10_099)})
			})
		}
	}
}

// A server that does not take a SYN leaves the client with data that it has sent and a connection that is not open.
func TestFastOpenBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	e := mustEnds(t, 1)
	port := e.port()
	mustElsewhere(t, func() { mustNewNamespace(t) }, func() {
		mustSet(t, "ipv4/tcp_fastopen", "3")
		listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", socketAddress, port))
		require.NoError(t, err)
		defer listener.Close()
		mustOption(t, listener.(*net.TCPListener), unix.TCP_FASTOPEN, 16)
		queue := func(n int) {
			mustControl(t, listener.(*net.TCPListener), func(fd int) error { return unix.Listen(fd, n) })
		}
		accept := func() {
			conn, err := listener.Accept()
			if assert.NoError(t, err) {
				answerPings(conn)
				assert.NoError(t, conn.Close())
			}
		}
		go accept()
		mustOpenFast(t, "sendto", port, true, request("PING")) // for the cookie

		queue(0)
		waiting, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		require.NoError(t, err)
		defer unix.Close(fd)
		n, err := unix.SendmsgN(fd, request("PING"), nil, &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(socketAddress).As4()}, unix.MSG_FASTOPEN)
		require.NoError(t, err)
		require.Len(t, request("PING"), n)
		const synSent = 2
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		require.NoError(t, err)
		require.EqualValues(t, synSent, info.State)
		queue(16)
		go accept()
		require.NoError(t, waiting.Close())
		go accept()
		require.NoError(t, unix.SetNonblock(fd, false))
		for range 10 {
			mustMove(t, fd, ways["read"], [][]byte{make([]byte, len("+PONG\r\n"))})
			mustMove(t, fd, ways["write"], [][]byte{request("PING")})
		}
		mustMove(t, fd, ways["read"], [][]byte{make([]byte, len("+PONG\r\n"))})
	})
	e.assertCommands(t, port, counts{"ping": 100 + 11})
}

// mustStatistic returns a counter of the current network namespace.
func mustStatistic(tb testing.TB, name string) int {
	tb.Helper()
	text, err := os.ReadFile("/proc/thread-self/net/netstat")
	require.NoError(tb, err)
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if i := slices.Index(names, name); i > 0 {
			value, err := strconv.Atoi(fields[i])
			require.NoError(tb, err)
			return value
		}
		names = fields
	}
	require.FailNow(tb, "no such counter: "+name)
	return 0
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

// mustOpenFast sends some PING before the connection is open, and 99 more.
func mustOpenFast(tb testing.TB, way string, port int, blocking bool, first []byte) {
	tb.Helper()
	to := &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(socketAddress).As4()}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(tb, err)
	defer unix.Close(fd)
	require.NoError(tb, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience.Seconds())}))
	require.NoError(tb, unix.SetNonblock(fd, !blocking))
	mustWait := func() {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(patience.Milliseconds()))
		require.NoError(tb, err)
	}
	n := 0
	if way == "sendto" {
		n, err = unix.SendmsgN(fd, first, nil, to, unix.MSG_FASTOPEN)
	} else {
		require.NoError(tb, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1))
		if err = unix.Connect(fd, to); err == unix.EINPROGRESS { // there is no cookie yet
			mustWait()
			err = nil
		}
		require.NoError(tb, err)
		n, err = unix.Write(fd, first)
	}
	if err == unix.EINPROGRESS { // there is no cookie yet, and nothing was taken
		mustWait()
		n, err = unix.Write(fd, first)
	}
	require.NoError(tb, err)
	require.NoError(tb, unix.SetNonblock(fd, false))
	mustMove(tb, fd, ways["write"], [][]byte{first[n:]})
	mustMove(tb, fd, ways["read"], [][]byte{make([]byte, len(first)/2)}) // +PONG and CRLF for twice as much
	for range 99 {
		mustMove(tb, fd, ways["write"], [][]byte{request("PING")})
		mustMove(tb, fd, ways["read"], [][]byte{make([]byte, len("+PONG\r\n"))})
	}
}

// mustControl runs a function on the descriptor of a socket.
func mustControl(tb testing.TB, socket syscall.Conn, run func(fd int) error) {
	tb.Helper()
	raw, err := socket.SyscallConn()
	require.NoError(tb, err)
	var failed error
	require.NoError(tb, raw.Control(func(fd uintptr) { failed = run(int(fd)) }))
	require.NoError(tb, failed)
}

// What a program passes on without reading it is a connection that cannot be read, once. Packets show it like all else.
func TestRelayThatSplices(t *testing.T) {
	e := mustEnds(t, 2)
	server, relay := e.port(), e.port()
	before, err := net.Listen("tcp", fmt.Sprintf("%s:%d", socketAddress, relay))
	require.NoError(t, err)
	defer before.Close()
	behind, err := net.Listen("tcp", fmt.Sprintf("%s:%d", socketAddress, server))
	require.NoError(t, err)
	defer behind.Close()
	go serve(behind, answerPings)
	go serve(before, func(conn net.Conn) {
		to, err := net.Dial("tcp", behind.Addr().String())
		if !assert.NoError(t, err) {
			return
		}
		defer to.Close()
		go func() {
			_, _ = io.Copy(to, conn)
			_ = to.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(conn, to)
	})
	const connections = 3
	spliced := connections
	if byPackets() {
		spliced = 0
	}
	for range connections {
		c := mustDial(t, before.Addr().String())
		for range 50 {
			c.mustDo("PING")
		}
		require.NoError(t, c.CloseWrite())
		require.Error(t, c.receive(1))
		require.NoError(t, c.Close())
	}
	for role, o := range e.observers {
		s := o.mustSee("no connection left", func(s snapshot) bool {
			return s.value("redis_observer_tracked_connections") == 0 && s.value("redis_observer_connections_total", "kind=spliced") >= spliced
		})
		read, passed := relay, server // each end of the relay is passed on, and the other end of the same connection is read
		if role == "server" {
			read, passed = server, relay
		}
		all := counts{"ping": connections * 50}
		assert.Equal(t, all, s.commands(fmt.Sprintf("port-%d", read)), role)
		if byPackets() {
			assert.Equal(t, all, s.commands(fmt.Sprintf("port-%d", passed)), role)
		} else {
			assert.Empty(t, s.commands(fmt.Sprintf("port-%d", passed)), role)
		}
		assert.Equal(t, spliced, s.value("redis_observer_connections_total", "kind=spliced"), role)
		assert.Empty(t, s.losses(), role)
	}
}

// mustSplice moves n bytes from a socket to a pipe, and on to nowhere.
func mustSplice(t *testing.T, fd, n int) {
	t.Helper()
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	for sink := make([]byte, 1<<16); n > 0; {
		moved, err := unix.Splice(fd, nil, pipe[1], nil, min(n, len(sink)), 0)
		require.NoError(t, err)
		require.Positive(t, moved)
		mustMove(t, pipe[0], func(fd int, b [][]byte) (int, error) { return unix.Read(fd, b[0]) }, [][]byte{sink[:moved]})
		n -= int(moved)
	}
}

// The middle of a value may be received in any way.
func TestValuesReceivedUnseen(t *testing.T) {
	receiving := map[string]func(t *testing.T, fd, n int){
		"splice": mustSplice,
		"discarded": func(t *testing.T, fd, n int) {
			for sink := make([]byte, 1<<16); n > 0; {
				moved, _, err := unix.Recvfrom(fd, sink[:min(n, len(sink))], unix.MSG_TRUNC)
				require.NoError(t, err)
				require.Positive(t, moved)
				n -= moved
			}
		},
	}
	e := mustEnds(t, len(receiving))
	value := bytes.Repeat([]byte("v"), 3_000_000)
	for way, receive := range receiving {
		t.Run(way, func(t *testing.T) {
			port := e.port()
			listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", socketAddress, port))
			require.NoError(t, err)
			defer listener.Close()
			head := fmt.Sprintf("$%d\r\n", len(value))
			go serve(listener, func(conn net.Conn) {
				for line := bufio.NewReader(conn); ; {
					for range 5 { // of GET a
						if _, err := line.ReadString('\n'); err != nil {
							return
						}
					}
					if _, err := fmt.Fprintf(conn, "%s%s\r\n", head, value); err != nil {
						return
					}
				}
			})
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			require.NoError(t, err)
			require.NoError(t, unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(socketAddress).As4()}))
			for range 4 {
				mustMove(t, fd, ways["write"], [][]byte{request("GET", "a")})
				mustMove(t, fd, ways["read"], [][]byte{make([]byte, len(head))})
				receive(t, fd, len(value))
				mustMove(t, fd, ways["read"], [][]byte{make([]byte, len("\r\n"))})
			}
			require.NoError(t, unix.Close(fd))
			e.assertCommands(t, port, counts{"get": 4})
		})
	}
}
