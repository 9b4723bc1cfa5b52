package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/redis-observer/redis-observer/test/commandstats"
)

const (
	redisPort   = 26500
	metricsPort = 26501
	otherPort   = 26502 // where nobody listens
	pingPort    = 26503 // of the ping-pong that is not Redis
)

// redis is the server that the loads use, and its Unix socket, which no observer sees.
type redis struct {
	process *process
	client  *client.Client
	socket  string
}

func startRedis(ctx context.Context, dir string) (*redis, error) {
	r := &redis{socket: dir + "/redis.sock"}
	var err error
	r.process, err = startProcess("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(redisPort), "--unixsocket", r.socket,
		"--save", "", "--dir", dir, "--logfile", dir+"/redis.log", "--maxclients", "11000", "--tcp-backlog", "4096")
	if err != nil {
		return nil, fmt.Errorf("%w (install the package redis-server)", err)
	}
	// One connection, so that no command of a new one gets between two readings.
	r.client = client.NewClient(&client.Options{Network: "unix", Addr: r.socket, PoolSize: 1, DisableIdentity: true, ReadTimeout: 30 * time.Second})
	for range 100 {
		if err = r.client.Ping(ctx).Err(); err == nil {
			return r, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("redis-server does not start on port %d (is the port in use?): %w", redisPort, err), r.stop())
}

func (r *redis) stop() error { return errors.Join(r.client.Close(), r.process.stop()) }

// ledger is what Redis counted: calls by command, in the observer's spelling, and the bytes of all connections.
type ledger struct {
	calls map[string]float64
	bytes float64
}

// read returns what was counted so far, without the reading itself.
func (r *redis) read(ctx context.Context) (ledger, error) {
	commands, err := r.client.Info(ctx, "commandstats").Result()
	if err != nil {
		return ledger{}, fmt.Errorf("ask Redis for its counts: %w", err)
	}
	stats, err := r.client.Info(ctx, "stats").Result()
	if err != nil {
		return ledger{}, fmt.Errorf("ask Redis for its counts: %w", err)
	}
	l := ledger{calls: make(map[string]float64)}
	for line := range strings.Lines(commands) {
		if name, c, ok := commandstats.Line(line); ok && name != "info" {
			l.calls[name] = c.Calls
		}
	}
	in, err1 := field(stats, "total_net_input_bytes:")
	out, err2 := field(stats, "total_net_output_bytes:")
	l.bytes = float64(in + out)
	return l, errors.Join(err1, err2)
}

// since returns what was counted between two readings.
func (l ledger) since(before ledger) ledger {
	d := ledger{calls: make(map[string]float64), bytes: l.bytes - before.bytes}
	for name, calls := range l.calls {
		if n := calls - before.calls[name]; n != 0 {
			d.calls[name] = n
		}
	}
	return d
}
