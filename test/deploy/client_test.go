package deploy

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// client speaks inline commands, whose replies here are all one line, or two for a value.
type client struct {
	net.Conn
	replies *bufio.Reader
}

// connections are all clients by the port of their server.
var connections = map[int][]*client{}

func mustDial(tb testing.TB, port int) *client {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	c := &client{Conn: conn, replies: bufio.NewReader(conn)}
	connections[port] = append(connections[port], c)
	return c
}

func (c *client) do(tb testing.TB, commands ...string) {
	tb.Helper()
	for _, command := range commands {
		c.send(tb, command)
		c.receive(tb)
	}
}

func (c *client) send(tb testing.TB, command string) {
	tb.Helper()
	_, err := fmt.Fprintf(c, "%s\r\n", command)
	require.NoError(tb, err)
}

func (c *client) receive(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, c.SetReadDeadline(time.Now().Add(5*time.Second)))
	line, err := c.replies.ReadString('\n')
	require.NoError(tb, err)
	if line[0] == '$' && line[1] != '-' {
		_, err = c.replies.ReadString('\n')
		require.NoError(tb, err)
	}
}
