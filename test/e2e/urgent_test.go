package e2e

import (
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// urgent is a conversation in which one end sends bytes with MSG_OOB, and the other one has SO_OOBINLINE or not.
type urgent struct {
	sender string // "client" or "server"
	inline bool   // the byte is received with the others, in its place
	place  string // of the byte: "between" messages, at an "end" before the close, or in a message: of its "header", or its "body"
}

func (u urgent) String() string { return fmt.Sprintf("%s inline=%v %s", u.sender, u.inline, u.place) }

// within reports where in a message the byte is, if it is in one.
func (u urgent) within(message []byte) (at int, within bool) {
	switch u.place {
	case "header":
		return 1, true
	case "body":
		return len(message) - 4, true
	}
	return 0, false
}

// mustSay sends a message, with an urgent byte if that is wanted. One that is received in line is a part of the message, and any other one is not.
func (u urgent) mustSay(t *testing.T, conn *net.TCPConn, message []byte, wanted bool) {
	at, within := u.within(message)
	if !wanted || !within {
		mustWrite(t, conn, message)
		if wanted && u.place == "between" {
			mustUrge(t, conn, 'x')
		}
		return
	}
	mustWrite(t, conn, message[:at])
	if u.inline {
		mustUrge(t, conn, message[at])
		mustWrite(t, conn, message[at+1:])
		return
	}
	mustUrge(t, conn, 'x')
	mustWrite(t, conn, message[at:])
}

// mustHear receives a message, and the byte behind it that is received in line and no part of it.
func (u urgent) mustHear(t *testing.T, conn *net.TCPConn, message []byte, wanted bool) {
	n := len(message)
	if wanted && u.inline && u.place == "between" {
		n++
	}
	heard := make([]byte, n)
	_, err := io.ReadFull(conn, heard)
	require.NoError(t, err)
	require.Equal(t, string(message), string(heard[:len(message)]))
}

func mustWrite(t *testing.T, conn *net.TCPConn, data []byte) {
	t.Helper()
	_, err := conn.Write(data)
	require.NoError(t, err)
}

// mustUrge sends a byte of MSG_OOB. What is sent before the other end knows of it would be received together with it.
func mustUrge(t *testing.T, conn *net.TCPConn, b byte) {
	t.Helper()
	mustControl(t, conn, func(fd int) error { return unix.Sendto(fd, []byte{b}, unix.MSG_OOB, nil) })
}

// mustPair returns both ends of a connection.
func mustPair(t *testing.T, port int) (client, server *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", socketAddress, port))
	require.NoError(t, err)
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	accepted, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = conn.Close(), accepted.Close() }) // the test may have closed them
	return conn.(*net.TCPConn), accepted.(*net.TCPConn)
}

// mustTalk exchanges n messages, each tenth of them with an urgent byte, and closes at both ends.
func (u urgent) mustTalk(t *testing.T, client, server *net.TCPConn, n int) {
	ping, pong := request("ECHO", "pong"), []byte("$4\r\npong\r\n")
	for i := range n {
		u.mustSay(t, client, ping, u.sender == "client" && i%10 == 1)
		u.mustHear(t, server, ping, u.sender == "client" && i%10 == 1)
		u.mustSay(t, server, pong, u.sender == "server" && i%10 == 1)
		u.mustHear(t, client, pong, u.sender == "server" && i%10 == 1)
		if i%10 == 1 {
			time.Sleep(2 * quietPause) // desynced connections are synced again
		}
	}
}

// seen reports whether the observer of an end can know what a message is that has an urgent byte in it: where it is received in line, from the system.
func (u urgent) seen(role string) bool { return u.inline && role != u.sender && !byPackets() }

// torn returns how many messages of a conversation the observer of an end cannot know, and has to report.
func (u urgent) torn(role string, commands int) int {
	if _, within := u.within(nil); within && !u.seen(role) {
		return commands / 10
	}
	return 0
}

// quietPause is the pause after which an answered connection is synced.
const quietPause = 50 * time.Millisecond

// A byte of MSG_OOB has an offset in its stream. Only an end that has SO_OOBINLINE receives it with the others; that it has, its own system knows.
func TestUrgentByte(t *testing.T) {
	t.Parallel()
	var all []urgent
	for _, sender := range []string{"client", "server"} {
		for _, inline := range []bool{false, true} {
			for _, place := range []string{"between", "header", "body", "end"} {
				all = append(all, urgent{sender, inline, place})
			}
		}
	}
	e := mustEnds(t, len(all))
	const commands = 50
	for _, u := range all {
		t.Run(u.String(), func(t *testing.T) { u.mustConverse(t, e.port(), commands) })
	}
	for role, o := range e.observers {
		s := o.mustSee("no connection left", func(s snapshot) bool { return s.value("redis_observer_tracked_connections") == 0 })
		lost, torn := s.losses(), 0
		for i, u := range all {
			name := fmt.Sprintf("port-%d", e.ports[i])
			want := commands - u.torn(role, commands)
			assert.Equal(t, counts{"echo": want}, s.commands(name), "%v, seen at the %s", u, role)
			assert.Equal(t, want, s.sum("redis_commands_total", "name="+name, "status=success"), "%v, seen at the %s", u, role)
			torn += u.torn(role, commands)
			if want < commands {
				maps.DeleteFunc(lost, func(series string, _ int) bool { return strings.Contains(series, name) })
			}
		}
		maps.DeleteFunc(lost, func(series string, _ int) bool { return strings.Contains(series, "effect=broken") })
		assert.Equal(t, torn, s.sum("redis_observer_gaps_total", "effect=broken"), role)
		assert.Empty(t, lost, role)
	}
}

// mustConverse has the conversation.
func (u urgent) mustConverse(t *testing.T, port, commands int) {
	client, server := mustPair(t, port)
	from, to := client, server
	if u.sender == "server" {
		from, to = server, client
	}
	if u.inline {
		mustControl(t, to, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1) })
	}
	u.mustTalk(t, client, server, commands)
	if u.place == "end" {
		mustUrge(t, from, 'x')
		require.NoError(t, from.CloseWrite())
		rest, err := io.ReadAll(to)
		require.NoError(t, err)
		require.Equal(t, u.inline, len(rest) == 1)
	}
	require.NoError(t, client.Close())
	require.NoError(t, server.Close())
}
