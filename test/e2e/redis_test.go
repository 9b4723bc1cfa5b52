package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/commandstats"
	"github.com/redis-observer/redis-observer/test/kit"
)

// redis is a running redis-server.
type redis struct {
	tb      testing.TB
	port    int
	socket  string // a Unix socket, for what is not to be observed
	command *exec.Cmd
	exited  chan struct{}
}

// mustRedis starts a redis-server on a port of 127.0.0.1, unless the arguments say otherwise, and waits until it answers.
func mustRedis(tb testing.TB, arguments ...string) *redis {
	tb.Helper()
	RequireObserver(tb)
	dir := tb.TempDir()
	r := &redis{tb: tb, port: mustPort(tb), socket: filepath.Join(dir, "redis.sock"), exited: make(chan struct{})}
	arguments = append([]string{
		"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--unixsocket", r.socket, "--save", "", "--dir", dir,
		"--protected-mode", "no", "--logfile", "redis.log",
	}, arguments...)
	r.command = exec.Command("redis-server", arguments...)
	require.NoError(tb, r.command.Start())
	go func() {
		_ = r.command.Wait() // tests kill it
		close(r.exited)
	}()
	tb.Cleanup(r.kill)
	require.Eventually(tb, func() bool {
		control, err := net.Dial("unix", r.socket)
		if err != nil {
			return false
		}
		return control.Close() == nil
	}, startTime, 20*time.Millisecond, "redis-server does not start")
	return r
}

// kill ends the server without a farewell.
func (r *redis) kill() {
	_ = r.command.Process.Kill() // fails only if it has ended
	<-r.exited
}

func (r *redis) mustSignal(signal syscall.Signal) {
	r.tb.Helper()
	require.NoError(r.tb, r.command.Process.Signal(signal))
}

func (r *redis) address() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// mustControl runs a command over the Unix socket and returns its reply, the text of a bulk string or the line of another.
func (r *redis) mustControl(arguments ...string) string {
	r.tb.Helper()
	control, err := net.Dial("unix", r.socket)
	require.NoError(r.tb, err)
	defer control.Close()
	_, err = control.Write(request(arguments...))
	require.NoError(r.tb, err)
	reader := bufio.NewReader(control)
	line, err := reader.ReadString('\n')
	require.NoError(r.tb, err)
	if line[0] != '$' {
		return strings.TrimSpace(line)
	}
	n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	require.NoError(r.tb, err)
	text := make([]byte, n)
	_, err = io.ReadFull(reader, text)
	require.NoError(r.tb, err)
	return string(text)
}

func (r *redis) mustResetStats() {
	r.tb.Helper()
	require.Equal(r.tb, "+OK", r.mustControl("CONFIG", "RESETSTAT"))
}

// mustStats returns what the server counted since mustResetStats, by label, without what only measures.
func (r *redis) mustStats() counts {
	r.tb.Helper()
	c := make(counts)
	for line := range strings.Lines(r.mustControl("INFO", "commandstats")) {
		if name, count, ok := commandstats.Line(line); ok {
			c[name] = int(count.Calls)
		}
	}
	delete(c, "info")
	delete(c, "config_resetstat")
	return c
}

// Encoders of a command, once and n times.
var request, repeat = kit.Request, kit.Repeat
