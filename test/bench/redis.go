package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	client "github.com/redis/go-redis/v9"

	"github.com/redis-observer/redis-observer/test/kit"
)

const (
	redisPort   = 26500
	otherPort   = 26502 // where nobody listens
	pingPort    = 26503 // of the ping-pong that is not Redis
	tlsPort     = 26504
	foreignPort = 26505 // of a server with TLS that is not observed
)

// metricsPorts are those of observers, by role.
var metricsPorts = map[string]int{"client": 26501, "server": 26506}

// redis is the server that the loads use, and a client that no observer sees: on its Unix socket while a port is observed, and else
// on its port.
type redis struct {
	*kit.Redis
	client  *client.Client
	library string // the folder of its TLS library
}

func startRedis() (r *redis, err error) {
	library, err := os.MkdirTemp("", "bench-library")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(library))
		}
	}()
	if err := copyLibrary("redis-server", library); err != nil {
		return nil, err
	}
	server, err := startServer(library, redisPort, tlsPort, "--maxclients", "11000", "--tcp-backlog", "4096")
	if err != nil {
		return nil, fmt.Errorf("%w (is redis-server with TLS installed, and are ports %d and %d free?)", err, redisPort, tlsPort)
	}
	return &redis{server, connect("unix", server.Socket), library}, nil
}

// connect makes a client with one connection, so that no command of a new one gets between two readings.
func connect(network, address string) *client.Client {
	return client.NewClient(&client.Options{Network: network, Addr: address, PoolSize: 1, DisableIdentity: true, ReadTimeout: 30 * time.Second})
}

// startServer starts a redis-server that listens for TCP, unless that port is 0, and for TLS. It looks for libraries in a folder first,
// unless that is "".
func startServer(libraries string, port, tlsPort int, arguments ...string) (*kit.Redis, error) {
	folder, err := os.MkdirTemp("", "bench-certificate")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder) // the server has read it when it answers
	certificate, err := kit.NewCertificate(folder)
	if err != nil {
		return nil, err
	}
	command := exec.Command("redis-server")
	command.SysProcAttr = diesWithBench()
	if libraries != "" {
		command.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries)
	}
	return kit.StartServer(command, port, append(certificate.ServerOptions(tlsPort), arguments...)...)
}

func (r *redis) stop() error {
	return errors.Join(r.client.Close(), r.Stop(), os.RemoveAll(r.library))
}

// controlBeside makes the client one that no observer of the path sees, or of the port. The returned function undoes it.
func (r *redis) controlBeside(path bool) (undo func()) {
	if !path {
		return func() {}
	}
	before := r.client
	r.client = connect("tcp", tcpAddress(redisPort))
	return func() {
		_ = r.client.Close() // else the observer of a later case sees a connection that is not the load's
		r.client = before
	}
}

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
	counts, err := kit.ReadCommandStats(commands)
	if err != nil {
		return ledger{}, err
	}
	for label, c := range counts {
		if label != "info" {
			l.calls[label] = c.Calls
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
