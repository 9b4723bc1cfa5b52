package kit

import (
	"bufio"
	"fmt"
	"net"
	"time"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// patience is how long a client waits for a connection, a reply or room to write.
const patience = 30 * time.Second

// Client is a connection whose writes and reads the caller decides. It is for one goroutine.
type Client struct {
	*net.TCPConn
	replies *bufio.Reader
}

// Buffer is how many bytes a client reads in one call unless its maker says otherwise.
const Buffer = 4096

// Dial connects to a port of 127.0.0.1.
func Dial(port int) (*Client, error) { return DialAddress(fmt.Sprintf("127.0.0.1:%d", port), Buffer) }

// DialAddress connects to an address of TCP. The client reads buffer bytes in one call.
func DialAddress(address string, buffer int) (*Client, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return &Client{conn.(*net.TCPConn), bufio.NewReaderSize(conn, buffer)}, nil
}

// NewClient makes a client of a connection.
func NewClient(conn *net.TCPConn) *Client {
	return &Client{conn, bufio.NewReaderSize(conn, Buffer)}
}

// Send writes requests in one write.
func (c *Client) Send(requests []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.Write(requests)
	return err
}

// Receive reads n replies, and returns how many of them are errors.
func (c *Client) Receive(n int) (failed int, err error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	for i := range n {
		first, err := resp.Skip(c.replies)
		if err != nil {
			return failed, fmt.Errorf("reply %d of %d: %w", i+1, n, err)
		}
		if first == '-' || first == '!' {
			failed++
		}
	}
	return failed, nil
}

// Do sends one command and returns its reply.
func (c *Client) Do(arguments ...string) (resp.Reply, error) {
	if err := c.Send(resp.Request(arguments...)); err != nil {
		return resp.Reply{}, err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return resp.Reply{}, err
	}
	return resp.Read(c.replies)
}

// Abort closes the connection with a reset, as SO_LINGER 0 does.
func (c *Client) Abort() error {
	if err := c.SetLinger(0); err != nil {
		return err
	}
	return c.Close()
}
