package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/commandstats"
)

// redisServer is a running redis-server, watched at one end of its connections. It is asked for its own account over a Unix
// socket, which nobody watches.
type redisServer struct {
	role    string // the end that is watched, and the name under which it is counted
	port    int
	control *bufio.ReadWriter
}

func mustStartRedis(t *testing.T, role string) *redisServer {
	t.Helper()
	s := &redisServer{role: role, port: mustFreePort(t)}
	socket := filepath.Join(t.TempDir(), "redis.sock")
	command := exec.Command("redis-server", "--port", strconv.Itoa(s.port), "--unixsocket", socket, "--save", "", "--bind", "127.0.0.1", "::1",
		"--enable-debug-command", "yes", "--proto-max-bulk-len", "64mb", "--dir", filepath.Dir(socket))
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait() // always an error: it was killed
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			s.control = bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
			return s
		}
		require.True(t, time.Now().Before(deadline), "redis-server does not answer: %v", err)
	}
}

func (s *redisServer) mustCall(t *testing.T, arguments ...string) string {
	t.Helper()
	s.control.Write(request(arguments...))
	require.NoError(t, s.control.Flush())
	reply, err := readReply(s.control.Reader)
	require.NoError(t, err)
	return reply
}

// count is how often a command was called, and how often with an error.
type count struct{ calls, errors int }

// mustCount returns the server's own account since the last CONFIG RESETSTAT, by label.
func (s *redisServer) mustCount(t *testing.T) map[string]count {
	t.Helper()
	counts := make(map[string]count)
	for line := range strings.Lines(s.mustCall(t, "INFO", "commandstats")) {
		name, c, ok := commandstats.Line(line)
		if ok && c.Calls > 0 && name != "info" && name != "config_resetstat" {
			counts[name] = count{calls: int(c.Calls), errors: int(c.Errors)}
		}
	}
	return counts
}

// observed returns the observer's account between two scrapes.
func observed(before, after sample, name string) map[string]count {
	counts := make(map[string]count)
	for series, value := range after {
		var command, status string
		labels, found := strings.CutPrefix(series, "redis_commands_total")
		n := int(value - before[series])
		if !found || n == 0 || !strings.Contains(labels, fmt.Sprintf("name=%q", name)) {
			continue
		}
		for label := range strings.SplitSeq(strings.Trim(labels, "{}"), ",") {
			key, quoted, _ := strings.Cut(label, "=")
			switch key {
			case "command":
				command = strings.Trim(quoted, `"`)
			case "status":
				status = strings.Trim(quoted, `"`)
			}
		}
		c := counts[command]
		c.calls += n
		if status == "error" {
			c.errors += n
		}
		counts[command] = c
	}
	return counts
}

// compare runs traffic and demands that both accounts of it are the same and that nothing was lost.
func compare(t *testing.T, o *observer, server *redisServer, traffic func(t *testing.T)) {
	t.Helper()
	server.mustCall(t, "CONFIG", "RESETSTAT")
	before := o.mustScrape(t)
	traffic(t)
	expected := server.mustCount(t)
	var after sample
	var actual map[string]count
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		after = o.mustScrape(t)
		actual = observed(before, after, server.role)
		if assert.ObjectsAreEqual(expected, actual) {
			break
		}
	}
	assert.Equal(t, expected, actual)
	assert.Equal(t, before.losses(), after.losses(), "something was lost")
}

// request encodes a command.
func request(arguments ...string) []byte {
	encoded := fmt.Appendf(nil, "*%d\r\n", len(arguments))
	for _, a := range arguments {
		encoded = fmt.Appendf(encoded, "$%d\r\n%s\r\n", len(a), a)
	}
	return encoded
}

// readReply reads a reply whole and returns its last string.
func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, text := line[0], strings.TrimSpace(line[1:])
	if kind != '$' && kind != '*' {
		return text, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return "", err
	}
	if kind == '$' {
		body := make([]byte, n+2)
		_, err := io.ReadFull(r, body)
		return string(body[:n]), err
	}
	for range n {
		if text, err = readReply(r); err != nil {
			return "", err
		}
	}
	return text, nil
}
