package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ledger is what the clients of a server know of their commands.
type ledger struct{ success, failed, kills atomic.Uint64 }

func (l *ledger) note(reply string, err error) {
	switch {
	case l == nil:
	case err != nil || reply[0] == '-':
		l.failed.Add(1)
	default:
		l.success.Add(1)
	}
}

// client speaks to a server, one command at a time or several.
type client struct {
	net.Conn
	replies *bufio.Reader
}

func dial(port int) (*client, error) {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReader(conn)}, nil
}

// exchange writes a pipeline in one call, and notes the outcome of each of its commands.
func (c *client) exchange(l *ledger, commands ...string) error {
	var request strings.Builder
	for _, command := range commands {
		words := strings.Fields(command)
		fmt.Fprintf(&request, "*%d\r\n", len(words))
		for _, word := range words {
			fmt.Fprintf(&request, "$%d\r\n%s\r\n", len(word), word)
		}
	}
	if c.closed() {
		return io.EOF
	}
	if _, err := c.Write([]byte(request.String())); err != nil {
		return err // nothing was sent: the kernel takes as much as this whole or not at all
	}
	var failure error
	for range commands {
		var reply string
		if failure == nil {
			reply, failure = c.reply()
		}
		l.note(reply, failure)
	}
	return failure
}

// closed says whether the server closed the connection already. What is written then never reaches it, and counts nowhere.
func (c *client) closed() bool {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	var n int
	var failure error
	err = raw.Control(func(fd uintptr) {
		n, _, failure = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return err != nil || n == 0 && failure == nil || failure != nil && !errors.Is(failure, unix.EAGAIN)
}

// reply reads a line, or a value and its line.
func (c *client) reply() (string, error) {
	line, err := c.replies.ReadString('\n')
	if err != nil || line[0] != '$' || line[1] == '-' {
		return line, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	if err == nil {
		_, err = c.replies.Discard(n + 2)
	}
	return line, err
}

var (
	value   = strings.Repeat("v", 3000)
	traffic = []string{"SET key v", "GET key", "INCR counter", "SET big " + value, "GET big", "LPUSH key x", "PING", "EXISTS key"}
)

const maxPipeline = 16

func pipeline() []string {
	commands := make([]string, 1+rand.IntN(maxPipeline))
	for i := range commands {
		commands[i] = traffic[rand.IntN(len(traffic))]
	}
	return commands
}

// keepTalking holds a connection as long as it lasts, and opens another one then.
func keepTalking(ctx context.Context, port int, l *ledger) {
	for ctx.Err() == nil {
		c, err := dial(port)
		if err != nil {
			sleep(ctx, 100*time.Millisecond)
			continue
		}
		for err == nil && sleep(ctx, 2*time.Millisecond) {
			err = c.exchange(l, pipeline()...)
		}
		_ = c.Close()
	}
}

// churn opens connections for a few commands each; some are reset and not closed.
func churn(ctx context.Context, port int) {
	for sleep(ctx, 5*time.Millisecond) {
		c, err := dial(port)
		if err != nil {
			continue
		}
		_ = c.exchange(nil, pipeline()...)
		if rand.IntN(4) == 0 {
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
		}
		_ = c.Close()
	}
}

// keepKillingServer starts a server again and again, and kills it in the midst of its work.
func keepKillingServer(ctx context.Context, port int, l *ledger) {
	for ctx.Err() == nil {
		server, err := startRedis(port)
		if err == nil {
			sleep(ctx, 4*time.Second)
		}
		server.kill()
		l.kills.Add(1)
	}
}

// keepKillingClients kills them in the midst of pipelines.
func keepKillingClients(ctx context.Context, port int) {
	for sleep(ctx, time.Second) {
		benchmark := exec.Command("redis-benchmark", "-p", strconv.Itoa(port), "-n", "100000000", "-P", "4", "-c", "5", "-t", "set,get", "-q")
		if benchmark.Start() == nil {
			sleep(ctx, 300*time.Millisecond)
			process{benchmark}.kill()
		}
	}
}
