package deploy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// client is a connection on which the test writes commands with spaces between their words.
type client struct{ *kit.Client }

// connections are all clients by the port of their server.
var connections = map[int][]*client{}

func mustDial(tb testing.TB, port int) *client {
	tb.Helper()
	conn, err := kit.Dial(port)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	c := &client{conn}
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
	require.NoError(tb, c.Send(resp.Request(strings.Fields(command)...)))
}

func (c *client) receive(tb testing.TB) {
	tb.Helper()
	_, err := c.Receive(1)
	require.NoError(tb, err)
}
