package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// restricted is the variable that makes this binary give up privileges and become the program that its arguments name. Its
// value is the limit of locked memory in bytes, or unlimited.
const restricted = "CONFORMANCE_RESTRICTED"

// kept are the capabilities that the program then has, as in deploy/.
var kept = []uintptr{unix.CAP_BPF, unix.CAP_PERFMON}

func TestMain(m *testing.M) {
	if memlock := os.Getenv(restricted); memlock != "" {
		fmt.Fprintln(os.Stderr, "run with few privileges:", becomeRestricted(memlock, os.Args[1:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// becomeRestricted returns on an error only.
func becomeRestricted(memlock string, command []string) error {
	limit := uint64(unix.RLIM_INFINITY)
	if n, err := strconv.ParseUint(memlock, 10, 64); err == nil {
		limit = n
	}
	// Where raising it is refused, even to root, the kernel has to do without.
	err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit, Max: limit})
	if err != nil && !(errors.Is(err, unix.EPERM) && limit == unix.RLIM_INFINITY) {
		return fmt.Errorf("limit locked memory: %w", err)
	}
	runtime.LockOSThread() // what this thread has is what the program gets
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		if slices.Contains(kept, capability) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	return unix.Exec(command[0], command, slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, restricted+"=")
	}))
}

// underRestriction are the words before a command that has few privileges.
func underRestriction(t *testing.T, memlock string) []string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return []string{"env", restricted + "=" + memlock, self}
}

// paranoid is the setting of which some distributions know a level that asks for CAP_SYS_ADMIN.
const paranoid = "/proc/sys/kernel/perf_event_paranoid"

// testPrivileges runs the observer as the files in deploy/ do.
func testPrivileges(t *testing.T, binary, backend string, servers []*redisServer) {
	if backend == "kprobe" {
		mustNotBeParanoid(t)
	}
	o := mustStartObserver(t, binary, backend, servers, underRestriction(t, "unlimited")...)
	compare(t, o, servers[0], func(t *testing.T) { testExchanges(t, mustConnect(t, servers[0].Port, "127.0.0.1", plain)) })
	mustStop(t, o)
}

func mustNotBeParanoid(t *testing.T) {
	t.Helper()
	before, err := os.ReadFile(paranoid)
	require.NoError(t, err)
	if level, _ := strconv.Atoi(strings.TrimSpace(string(before))); level <= 2 {
		return
	}
	if os.Getenv("CONFORMANCE_ALONE") == "" {
		t.Skip("this machine's setting is not ours to change")
	}
	require.NoError(t, os.WriteFile(paranoid, []byte("2"), 0o600))
	t.Cleanup(func() { os.WriteFile(paranoid, before, 0o600) })
}

// testReasons demands that a backend that works otherwise either works with few privileges and little locked memory, or
// says what it takes.
func testReasons(t *testing.T, binary string, usable []string) {
	for _, report := range mustReport(t, append(underRestriction(t, "65536"), binary, "check", "--output", "json")...) {
		if !report.Usable && slices.Contains(usable, report.Name) {
			assert.Regexp(t, "LimitMEMLOCK=infinity|kernel.perf_event_paranoid", report.Reason)
		}
	}
}

// testWithoutTracefs runs the observer where the number of calls that a return probe follows cannot be raised: what it
// misses must be accounted for.
func testWithoutTracefs(t *testing.T, binary, backend string, servers []*redisServer) {
	o := mustStartObserver(t, binary, backend, servers, "unshare", "-m", "sh", "-c", `umount /sys/kernel/tracing; exec "$0" "$@"`)
	server := servers[0]
	compare(t, o, server, func(t *testing.T) { testExchanges(t, mustConnect(t, server.Port, "127.0.0.1", plain)) })
	require.NoError(t, server.ResetStats())
	before := o.mustScrape(t)
	testBlockedThreads(t, server)
	expected := server.mustCount(t)
	eventually(t, func() bool {
		after := o.mustScrape(t)
		return assert.ObjectsAreEqual(expected, observed(before, after, server.role)) ||
			!assert.ObjectsAreEqual(losses(before), losses(after))
	}, "calls were missed and not accounted for")
	mustStop(t, o)
	assert.Contains(t, o.Log(), "follows only few calls at once")
}

func mustStop(t *testing.T, o *observer) {
	t.Helper()
	require.NoError(t, o.Process.Stop(unix.SIGTERM))
	require.Zero(t, o.ExitCode(), "%s", o.Log())
}

func mustReport(t *testing.T, command ...string) []backendReport {
	t.Helper()
	// The status says whether auto would work; the output is whole in both cases.
	output, _ := exec.Command(command[0], command[1:]...).Output()
	var verdict struct {
		Kernel struct{ Backends []backendReport }
	}
	require.NoError(t, json.Unmarshal(output, &verdict), "%s", output)
	require.NotEmpty(t, verdict.Kernel.Backends)
	return verdict.Kernel.Backends
}
