package kit

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"bufio"

	"github.com/redis-observer/redis-observer/test/commandstats"
)

// Redis is a running redis-server on a port of 127.0.0.1, without persistence.
type Redis struct {
	Port    int
	process *process
	folder  string // with the Unix socket for what is not to be observed
}

// StartRedis starts redis-server on a port. Further arguments are its own.
func StartRedis(port int, arguments ...string) (*Redis, error) {
	folder, err := os.MkdirTemp("", "kit-redis")
	if err != nil {
		return nil, err
	}
	r := &Redis{Port: port, folder: folder}
	command := exec.Command("redis-server", append([]string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--unixsocket", r.socket(), "--dir", folder, "--save", "",
		"--protected-mode", "no", "--maxclients", "50000", "--tcp-backlog", "4096",
	}, arguments...)...)
	r.process, err = start(command, func() bool {
		c, err := net.Dial("unix", r.socket())
		return err == nil && c.Close() == nil
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return r, nil
}

func (r *Redis) socket() string { return filepath.Join(r.folder, "redis.sock") }

// Stop ends the server.
func (r *Redis) Stop() error {
	return errors.Join(r.process.stop(syscall.SIGKILL), os.RemoveAll(r.folder))
}

// Control runs a command over the Unix socket, which is not observed, and returns the reply's line or the text of a bulk string.
func (r *Redis) Control(arguments ...string) (string, error) {
	conn, err := net.Dial("unix", r.socket())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := conn.Write(Request(arguments...)); err != nil {
		return "", err
	}
	return readReply(bufio.NewReader(conn))
}

// Calls returns what the server counted of each command since its start, by label, without INFO itself.
func (r *Redis) Calls() (map[string]commandstats.Count, error) {
	text, err := r.Control("INFO", "commandstats")
	if err != nil {
		return nil, err
	}
	counts := make(map[string]commandstats.Count)
	for line := range strings.Lines(text) {
		if name, count, ok := commandstats.Line(line); ok && name != "info" {
			counts[name] = count
		}
	}
	return counts, nil
}
