package packets

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/commandstats"
)

const (
	redisPort  = 22500
	cacheAt    = "127.0.0.1"
	sessionsAt = "127.0.0.2"
	probesAt   = "127.0.0.1:22501"
	packetsAt  = "127.0.0.1:22502"
	patience   = 20 * time.Second
	libraries  = "/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu"
	cachedDump = "../../.cache/tcpdump"
)

// skipUnless skips the test where something that it needs is not there, or fails if it must not be skipped.
func skipUnless(tb testing.TB, there bool, what string) {
	tb.Helper()
	switch {
	case there:
	case os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") == "1":
		tb.Fatal("needs " + what)
	default:
		tb.Skip("needs " + what)
	}
}

// tcpdump returns the command, from the PATH or from where test/unpack.sh put it.
func tcpdump(tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	path, err := exec.LookPath("tcpdump")
	if err == nil {
		return exec.Command(path, args...)
	}
	root, err := filepath.Abs(cachedDump)
	require.NoError(tb, err)
	path = filepath.Join(root, "usr/bin/tcpdump")
	_, err = os.Stat(path)
	skipUnless(tb, err == nil, "tcpdump: make test unpacks it")
	command := exec.Command(path, args...)
	command.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.ReplaceAll(root+libraries, ":", ":"+root))
	return command
}

// mustStart starts a process that ends with the test.
func mustStart(tb testing.TB, command *exec.Cmd) *exec.Cmd {
	tb.Helper()
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	require.NoError(tb, command.Start())
	tb.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended
		_ = command.Wait()
		if tb.Failed() {
			tb.Logf("%s:\n%s", filepath.Base(command.Path), output.String())
		}
	})
	return command
}

// mustEnd asks a process to end, and waits until it has.
func mustEnd(tb testing.TB, command *exec.Cmd) {
	tb.Helper()
	require.NoError(tb, command.Process.Signal(syscall.SIGINT))
	require.NoError(tb, command.Wait())
}

func mustRun(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	command := exec.Command(name, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	require.NoError(tb, err, "%s %v: %s", name, args, stderr.String())
	return string(output)
}

func get(url string) (string, error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("get %s: %s", url, response.Status)
	}
	return string(body), err
}

// counts are the commands by "name command status", or without the name.
type counts map[string]int

var (
	seriesOfCommands = regexp.MustCompile(`(?m)^redis_commands_total\{command="(.*?)",name="(.*?)",status="(.*?)"\} (.*)$`)
	seriesOfLoss     = regexp.MustCompile(`(?m)^redis_observer_(capture_lost_events_total|unpaired_commands_total|held_overflow_total|lost_connections_total|gaps_total\{effect="broken").* [1-9].*$`)
)

func parse(tb testing.TB, metrics string) counts {
	tb.Helper()
	found := counts{}
	for _, match := range seriesOfCommands.FindAllStringSubmatch(metrics, -1) {
		n, err := strconv.ParseFloat(match[4], 64)
		require.NoError(tb, err)
		if n > 0 {
			found[match[2]+" "+match[1]+" "+match[3]] = int(n)
		}
	}
	return found
}

// ofAllNames adds up the counts of all names: Redis knows of none.
func (c counts) ofAllNames() counts {
	sum := counts{}
	for key, n := range c {
		_, command, _ := strings.Cut(key, " ")
		sum[command] += n
	}
	return sum
}

// truth returns what Redis counted, but for what the test itself asked it over its Unix socket.
func truth(stats string) counts {
	found := counts{}
	for line := range strings.Lines(stats) {
		command, c, ok := commandstats.Line(line)
		if !ok || command == "info" || command == "config_resetstat" {
			continue
		}
		if c.Calls > c.Errors {
			found[command+" success"] = int(c.Calls - c.Errors)
		}
		if c.Errors > 0 {
			found[command+" error"] = int(c.Errors)
		}
	}
	return found
}
