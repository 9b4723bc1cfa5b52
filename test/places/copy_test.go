package places

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the repository.
const root = "../.."

// differing are the tests whose outcome depends on the place.
const differing = "./cmd/... ./internal/capture/... ./internal/privilege ./bpf ./test/e2e ./test/packets"

// requireRoot skips a test that cannot run, unless it is to run everywhere.
func requireRoot(tb testing.TB, programs ...string) {
	tb.Helper()
	reason := ""
	if os.Geteuid() != 0 {
		reason = "needs root"
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			reason = "needs " + program + " (test/install.sh places)"
		}
	}
	switch {
	case reason == "":
	case os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") != "":
		require.Fail(tb, reason)
	default:
		tb.Skip(reason)
	}
}

// mustCopy copies the repository's files, as they are, into a directory of its own.
func mustCopy(tb testing.TB) string {
	tb.Helper()
	// Not below /tmp, which is another one in the container.
	dir, err := os.MkdirTemp("/var/tmp", "redis-observer-place")
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = os.RemoveAll(dir) }) // what is left is in the way of nobody
	require.NoError(tb, os.Chmod(dir, 0o755))
	copied := filepath.Join(dir, "repository")
	require.NoError(tb, os.Mkdir(copied, 0o755))
	mustShell(tb, `cd `+root+` && git ls-files -z --cached --others --exclude-standard | xargs -0 cp -a --parents -t `+copied)
	mustShell(tb, `! test -d `+root+`/.cache/tcpdump || { mkdir `+copied+`/.cache && cp -a `+root+`/.cache/tcpdump `+copied+`/.cache; }`)
	return copied
}

func mustShell(tb testing.TB, script string) string {
	tb.Helper()
	output, err := exec.Command("bash", "-c", "set -e; "+script).CombinedOutput()
	require.NoError(tb, err, "%s", output)
	return strings.TrimSpace(string(output))
}

// environment is that of a place.
func environment(home, cache, modules string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GOCACHE=" + cache, "GOMODCACHE=" + modules,
		"GOPROXY=off", "GOTOOLCHAIN=local", "GOFLAGS=-buildvcs=false",
	}
}

// mustRun runs a command in a place, for a quarter of an hour at most, and returns what it printed.
func mustRun(tb testing.TB, command *exec.Cmd) string {
	tb.Helper()
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	require.NoError(tb, command.Start())
	timeout := time.AfterFunc(15*time.Minute, func() { _ = command.Process.Kill() })
	defer timeout.Stop()
	err := command.Wait()
	tb.Logf("%s", output.String())
	require.NoError(tb, err)
	return output.String()
}

// assertTable asserts that the demonstration shows traffic of both applications.
func assertTable(tb testing.TB, output string) {
	tb.Helper()
	for _, row := range []string{`session-cache +get +[1-9]`, `session-cache +lpush .*[1-9]\n`, `job-queue +brpop +[1-9]`} {
		assert.Regexp(tb, row, output)
	}
}

// makeTest is the command that tests.
func makeTest(require string) []string {
	packages := differing
	if chosen := os.Getenv("PLACES_TEST"); chosen != "" {
		packages = chosen
	}
	return []string{"make", "test", "TEST=" + packages, "REQUIRE=" + require}
}
