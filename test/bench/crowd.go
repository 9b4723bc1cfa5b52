package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"
)

// crowd is many connections to Redis.
type crowd []net.Conn

// gather opens connections, each of which sends one PING.
func gather(ctx context.Context, n int) (c crowd, err error) {
	defer func() {
		if err != nil {
			c.disperse()
		}
	}()
	var dialer net.Dialer
	for range n {
		conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", redisPort))
		if err != nil {
			return c, fmt.Errorf("open %d connections: %w", n, err)
		}
		c = append(c, conn)
	}
	return c, c.round([]string{"PING"})
}

func (c crowd) disperse() {
	for _, conn := range c {
		_ = conn.Close()
	}
}

// round lets every connection send one of the commands, and waits for the replies, which are of one line.
func (c crowd) round(commands []string) error {
	for i, conn := range c {
		if _, err := io.WriteString(conn, commands[i%len(commands)]+"\r\n"); err != nil {
			return fmt.Errorf("send a command: %w", err)
		}
	}
	buffer := make([]byte, 1024)
	for _, conn := range c {
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return fmt.Errorf("read a reply: %w", err)
			}
			if bytes.HasSuffix(buffer[:n], []byte("\r\n")) {
				break
			}
		}
	}
	return nil
}

// activity lets every connection send a command each second, spread over it, until ctx ends. What was begun is finished.
func (c crowd) activity(ctx context.Context, commands []string) error {
	const slices = 10
	size := (len(c) + slices - 1) / slices
	ticker := time.NewTicker(time.Second / slices)
	defer ticker.Stop()
	for {
		for start := 0; start < len(c); start += size {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
			if err := c[start:min(start+size, len(c))].round(commands); err != nil {
				return err
			}
		}
	}
}

// refused returns n distinct commands with a wrong number of arguments: Redis counts each under its name, and does nothing else.
func (b *bench) refused(ctx context.Context, n int) ([]string, error) {
	known, err := b.redis.client.Command(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("ask Redis for its commands: %w", err)
	}
	var commands []string
	for _, name := range slices.Sorted(maps.Keys(known)) {
		switch arity := known[name].Arity; {
		case name == "quit": // which Redis obeys before it counts arguments
		case arity == 1:
			commands = append(commands, name+" x")
		case arity > 1 || arity < -1:
			commands = append(commands, name)
		}
	}
	if len(commands) < n {
		return nil, errors.New("list commands: too few that Redis refuses")
	}
	return commands[:n], nil
}
