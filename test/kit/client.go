package kit

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// patience is how long a client waits for a connection, a reply or room to write.
const patience = 30 * time.Second

// Client is a connection whose writes and reads the caller decides. It is for one goroutine.
type Client struct {
	*net.TCPConn
	replies *bufio.Reader
}

// Dial connects to a port of 127.0.0.1.
func Dial(port int) (*Client, error) {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), patience)
	if err != nil {
		return nil, err
	}
	return &Client{conn.(*net.TCPConn), bufio.NewReaderSize(conn, 1024)}, nil
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
		line, err := readReply(c.replies)
		if err != nil {
			return failed, fmt.Errorf("reply %d of %d: %w", i+1, n, err)
		}
		if strings.HasPrefix(line, "-") {
			failed++
		}
	}
	return failed, nil
}

// Do sends one command and returns the first line of its reply, or the text of a bulk string.
func (c *Client) Do(arguments ...string) (string, error) {
	if err := c.Send(Request(arguments...)); err != nil {
		return "", err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	return readReply(c.replies)
}

// Abort closes the connection with a reset, as SO_LINGER 0 does.
func (c *Client) Abort() error {
	if err := c.SetLinger(0); err != nil {
		return err
	}
	return c.Close()
}

// readReply reads one reply of RESP2 with all that is nested in it, and returns its first line or the text of a bulk string.
func readReply(r *bufio.Reader) (first string, err error) {
	for left := 1; left > 0; left-- {
		text, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if n, err := strconv.Atoi(strings.TrimSpace(text[1:])); err == nil && n >= 0 {
			switch text[0] {
			case '*':
				left += n
			case '$':
				if text, err = readBulk(r, n); err != nil {
					return "", err
				}
			}
		}
		if first == "" {
			first = text
		}
	}
	return strings.TrimSuffix(first, "\r\n"), nil
}

// readBulk reads the body of a bulk string and its end. Only the beginning of a long one is kept.
func readBulk(r *bufio.Reader, n int) (string, error) {
	const kept = 1 << 16
	text := make([]byte, min(n, kept))
	if _, err := io.ReadFull(r, text); err != nil {
		return "", err
	}
	_, err := r.Discard(n - len(text) + len("\r\n"))
	return string(text), err
}
