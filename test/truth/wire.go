package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// patience is how long a reply may take.
const patience = 10 * time.Second

// wire is a connection on which a client sends what it likes, byte by byte.
type wire struct {
	net.Conn
	replies *bufio.Reader
}

func newWire(c net.Conn, err error) (*wire, error) {
	if err != nil {
		return nil, err
	}
	return &wire{Conn: c, replies: bufio.NewReader(c)}, nil
}

// multibulk returns a request as clients send it.
func multibulk(fields ...string) string { return string(resp.Request(fields...)) }

// commands returns a pipeline of requests whose fields are parted by spaces.
func commands(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(multibulk(strings.Fields(line)...))
	}
	return b.String()
}

// send writes bytes as they are.
func (w *wire) send(bytes string) error {
	_, err := io.WriteString(w.Conn, bytes)
	return err
}

// ask sends a pipeline of requests and reads one frame for each.
func (w *wire) ask(lines ...string) ([]resp.Reply, error) {
	if err := w.send(commands(lines...)); err != nil {
		return nil, err
	}
	return w.read(len(lines))
}

// read reads n frames.
func (w *wire) read(n int) ([]resp.Reply, error) {
	if err := w.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	frames := make([]resp.Reply, 0, n)
	for range n {
		r, err := resp.Read(w.replies)
		if err != nil {
			return frames, fmt.Errorf("read reply %d of %d: %w", len(frames)+1, n, err)
		}
		frames = append(frames, r)
	}
	return frames, nil
}

// drain reads until the server closes or is silent for a while.
func (w *wire) drain(silence time.Duration) error {
	return w.untilSilent(silence, func() error {
		_, err := w.replies.Discard(1)
		return err
	})
}

// untilSilent repeats a read until the server closes or is silent for a while.
func (w *wire) untilSilent(silence time.Duration, read func() error) error {
	for {
		if err := w.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		if err := read(); err != nil {
			return nil //nolint:nilerr // it waits for the end, however that is reported
		}
	}
}

// shut says that nothing more will be sent. With TLS that is an alert, and no FIN.
func (w *wire) shut() error { return w.Conn.(halfCloser).CloseWrite() }

// reset closes the connection in the manner of a program that is killed with data unread.
func (w *wire) reset() error {
	below := w.Conn
	if secure, ok := below.(*tls.Conn); ok {
		below = secure.NetConn() // the reset comes without an alert
	}
	if tcp, ok := below.(*net.TCPConn); ok {
		if err := tcp.SetLinger(0); err != nil {
			return err
		}
	}
	return below.Close()
}
