package e2e

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// patience is how long a client waits for a reply.
const patience = 20 * time.Second

// Encoders of a command, once and n times.
var request, repeat = resp.Request, resp.Repeat

// client is a connection whose every write and read the test decides.
type client struct {
	tb testing.TB
	*kit.Client
}

func mustDial(tb testing.TB, address string) *client {
	tb.Helper()
	c, err := dial(address)
	require.NoError(tb, err)
	c.tb = tb
	tb.Cleanup(func() { _ = c.Close() }) // the test may have closed it
	return c
}

// dial connects a client that has no methods that must succeed.
func dial(address string) (*client, error) {
	c, err := kit.DialAddress(address, kit.Buffer)
	return &client{Client: c}, err
}

// send writes commands in one write, without waiting for replies.
func (c *client) send(commands ...[]byte) error { return c.Send(bytes.Join(commands, nil)) }

func (c *client) mustSend(commands ...[]byte) {
	c.tb.Helper()
	require.NoError(c.tb, c.send(commands...))
}

// receive reads n replies.
func (c *client) receive(n int) error {
	_, err := c.Receive(n)
	return err
}

func (c *client) mustReceive(n int) {
	c.tb.Helper()
	require.NoError(c.tb, c.receive(n))
}

// mustDo sends a command and reads its reply.
func (c *client) mustDo(arguments ...string) {
	c.tb.Helper()
	c.mustSend(request(arguments...))
	c.mustReceive(1)
}

// mustReset closes the connection with a reset.
func (c *client) mustReset() {
	c.tb.Helper()
	require.NoError(c.tb, c.Abort())
}
