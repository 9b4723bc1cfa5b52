package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// ledger is what the clients of a server know of their commands.
type ledger struct{ success, failed, kills atomic.Uint64 }

func (l *ledger) note(failed bool) {
	switch {
	case l == nil:
	case failed:
		l.failed.Add(1)
	default:
		l.success.Add(1)
	}
}

// exchange writes a pipeline in one call, and notes the outcome of each of its commands.
func exchange(c *kit.Client, l *ledger, commands ...string) error {
	var requests []byte
	for _, command := range commands {
		requests = append(requests, resp.Request(strings.Fields(command)...)...)
	}
	if closed(c) {
		return io.EOF
	}
	if err := c.Send(requests); err != nil {
		return err // nothing was sent: the kernel takes as much as this whole or not at all
	}
	var failure error
	for range commands {
		failed := 0
		if failure == nil {
			failed, failure = c.Receive(1)
		}
		l.note(failed > 0 || failure != nil)
	}
	return failure
}

// closed says whether the server closed the connection already. What is written then never reaches it, and counts nowhere.
func closed(c *kit.Client) bool {
	raw, err := c.SyscallConn()
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
		c, err := kit.Dial(port)
		if err != nil {
			sleep(ctx, 100*time.Millisecond)
			continue
		}
		for err == nil && sleep(ctx, 2*time.Millisecond) {
			err = exchange(c, l, pipeline()...)
		}
		_ = c.Close()
	}
}

// churn opens connections for a few commands each; some are reset and not closed.
func churn(ctx context.Context, port int) {
	for sleep(ctx, 5*time.Millisecond) {
		c, err := kit.Dial(port)
		if err != nil {
			continue
		}
		_ = exchange(c, nil, pipeline()...)
		if rand.IntN(4) == 0 {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
}

// keepKillingServer starts a server again and again, and kills it in the midst of its work.
func keepKillingServer(ctx context.Context, port int, l *ledger) {
	for ctx.Err() == nil {
		server, err := kit.StartRedis(port)
		if err == nil {
			sleep(ctx, 4*time.Second)
			_ = server.Stop()
		}
		l.kills.Add(1)
	}
}

// keepKillingClients kills them in the midst of pipelines.
func keepKillingClients(ctx context.Context, port int) {
	for sleep(ctx, time.Second) {
		benchmark := exec.Command("redis-benchmark", "-p", strconv.Itoa(port), "-n", "100000000", "-P", "4", "-c", "5", "-t", "set,get", "-q")
		if process, err := kit.Start(benchmark, nil); err == nil {
			sleep(ctx, 300*time.Millisecond)
			_ = process.Stop(syscall.SIGKILL)
		}
	}
}
