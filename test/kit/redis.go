package kit

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// Redis is a running server on a port of 127.0.0.1, without persistence.
type Redis struct {
	*Process
	Port   int
	Socket string // the Unix socket, which no test observes unless it named the path
	folder string
	named  bool // the socket's path was given
}

// StartRedis starts the installed redis-server. Further arguments are its own and override those of the kit.
func StartRedis(port int, arguments ...string) (*Redis, error) {
	return StartServer(exec.Command("redis-server"), port, arguments...)
}

// StartServer starts the server of a command, of any version of Redis or Valkey, to which the kit adds arguments.
func StartServer(command *exec.Cmd, port int, arguments ...string) (*Redis, error) {
	return StartServerOn(command, port, "", arguments...)
}

// StartServerOn starts a server whose Unix socket has a given path. That is there to be observed, so the server is controlled over
// TCP. Without a path it is StartServer.
func StartServerOn(command *exec.Cmd, port int, socket string, arguments ...string) (*Redis, error) {
	folder, err := os.MkdirTemp("", "kit-redis")
	if err != nil {
		return nil, err
	}
	r := &Redis{Port: port, Socket: socket, folder: folder, named: socket != ""}
	if !r.named {
		r.Socket = filepath.Join(folder, "redis.sock")
	}
	command.Args = append(append(command.Args, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--unixsocket", r.Socket,
		"--dir", folder, "--save", "", "--appendonly", "no", "--protected-mode", "no"), arguments...)
	r.Process, err = Start(command, r.answers)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return r, nil
}

func (r *Redis) answers() bool {
	c, err := net.Dial("unix", r.Socket)
	return err == nil && c.Close() == nil
}

// Address returns where the server listens for TCP.
func (r *Redis) Address() string { return fmt.Sprintf("127.0.0.1:%d", r.Port) }

// Stop kills the server.
func (r *Redis) Stop() error {
	return errors.Join(r.Process.Stop(syscall.SIGKILL), os.RemoveAll(r.Socket), os.RemoveAll(r.folder))
}

// DialControl connects to the server where no test observes it.
func (r *Redis) DialControl() (net.Conn, error) {
	if r.named {
		return net.Dial("tcp", r.Address())
	}
	return net.Dial("unix", r.Socket)
}

// Control runs a command on a connection of its own, where no test observes it. An error reply is an error.
func (r *Redis) Control(arguments ...string) (resp.Reply, error) {
	conn, err := r.DialControl()
	if err != nil {
		return resp.Reply{}, err
	}
	defer conn.Close()
	if _, err := conn.Write(resp.Request(arguments...)); err != nil {
		return resp.Reply{}, err
	}
	reply, err := resp.Read(bufio.NewReader(conn))
	if err == nil && reply.Failed() {
		err = fmt.Errorf("%s: %s", arguments[0], reply.Text)
	}
	return reply, err
}

// ResetStats sets what the server counted to zero.
func (r *Redis) ResetStats() error {
	_, err := r.Control("CONFIG", "RESETSTAT")
	return err
}

// Calls returns what the server counted of each command since its start or ResetStats, by label, without INFO and ResetStats.
func (r *Redis) Calls() (map[string]Count, error) {
	reply, err := r.Control("INFO", "commandstats")
	if err != nil {
		return nil, err
	}
	counts, err := ReadCommandStats(reply.Text)
	delete(counts, "info")
	delete(counts, "config_resetstat")
	return counts, err
}
