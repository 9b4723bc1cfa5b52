package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a client waits for a reply.
const patience = 20 * time.Second

// client is a connection whose every write and read the test decides.
type client struct {
	tb     testing.TB
	conn   *net.TCPConn
	reader *bufio.Reader
}

func mustDial(tb testing.TB, address string) *client {
	tb.Helper()
	c, err := dial(address)
	require.NoError(tb, err)
	c.tb = tb
	tb.Cleanup(func() { _ = c.conn.Close() }) // the test may have closed it
	return c
}

// dial connects a client that has no methods that must succeed.
func dial(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn.(*net.TCPConn), reader: bufio.NewReader(conn)}, nil
}

// send writes commands in one write, without waiting for replies.
func (c *client) send(commands ...[]byte) error {
	_, err := c.conn.Write(bytes.Join(commands, nil))
	return err
}

func (c *client) mustSend(commands ...[]byte) {
	c.tb.Helper()
	require.NoError(c.tb, c.send(commands...))
}

// receive reads n replies.
func (c *client) receive(n int) error {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for range n {
		if err := skipReply(c.reader); err != nil {
			return fmt.Errorf("read reply: %w", err)
		}
	}
	return nil
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
	require.NoError(c.tb, c.conn.SetLinger(0))
	require.NoError(c.tb, c.conn.Close())
}

// skipReply reads one reply of RESP2.
func skipReply(r *bufio.Reader) error {
	for left := 1; left > 0; left-- {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line[0] != '$' && line[0] != '*' {
			continue
		}
		n, err := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
		switch {
		case err != nil:
			return err
		case n < 0:
		case line[0] == '*':
			left += n
		default:
			if _, err := r.Discard(n + 2); err != nil {
				return err
			}
		}
	}
	return nil
}
