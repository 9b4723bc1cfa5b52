package conformance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// narrowPort is the variable that names the port for TestNarrowClient.
const narrowPort = "CONFORMANCE_PORT"

// TestNarrowClient is the client of testNarrow, which runs it in a binary of 32 bits: its system calls have other numbers,
// its arguments are in other registers, and its vectors have another layout.
func TestNarrowClient(t *testing.T) {
	port, err := strconv.Atoi(os.Getenv(narrowPort))
	if err != nil {
		t.Skip("the client of another test")
	}
	for _, way := range append(ways, ringed) {
		testExchanges(t, mustConnect(t, port, "127.0.0.1", way))
	}
}

// testNarrow watches a program of 32 bits.
func testNarrow(t *testing.T, o *observer, server *redisServer) {
	binary := narrowBinary(t)
	traffic := func(t *testing.T) {
		command := exec.Command(binary, "-test.run", "^TestNarrowClient$", "-test.v")
		command.Env = append(os.Environ(), fmt.Sprintf("%s=%d", narrowPort, server.Port))
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)
		require.Contains(t, string(output), "--- PASS: TestNarrowClient")
	}
	if o.backend != "tracepoint" || server.role == "server" {
		compare(t, o, server, traffic)
		return
	}
	// That backend takes the memory of a receive from the registers, and knows those of 64 bits only.
	require.NoError(t, server.ResetStats())
	before := o.mustScrape(t)
	traffic(t)
	expected := server.mustCount(t)
	eventually(t, func() bool {
		return o.mustScrape(t).Sum("redis_observer_gap_bytes_total", "reason=not_in_memory") > before.Sum("redis_observer_gap_bytes_total", "reason=not_in_memory")
	}, "the gaps are not accounted for")
	for command, c := range observed(before, o.mustScrape(t), server.role) {
		assert.LessOrEqual(t, c.calls, expected[command].calls, command)
		assert.LessOrEqual(t, c.errors, expected[command].errors, command)
	}
}

// narrowBinary returns this test as a binary of 32 bits, where such binaries can be run.
func narrowBinary(t *testing.T) string {
	t.Helper()
	binary := builtNarrow(t)
	// Some virtual machines have no 32-bit mode, whatever their kernel was built for.
	if err := exec.Command(binary, "-test.run", "^$").Run(); errors.Is(err, unix.ENOEXEC) {
		t.Skip("this machine runs no programs of 32 bits")
	}
	return binary
}

// builtNarrow builds the binary unless it was given.
func builtNarrow(t *testing.T) string {
	t.Helper()
	if given := os.Getenv("CONFORMANCE_NARROW"); given != "" {
		return given
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("no binary of 32 bits for this CPU")
	}
	path := filepath.Join(t.TempDir(), "narrow.test")
	build := exec.Command("go", "test", "-c", "-o", path, "github.com/redis-observer/redis-observer/test/kernels/conformance")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=386")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return path
}
