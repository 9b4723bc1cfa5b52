package deploy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// process is a program that runs beside the test and ends with it.
type process struct{ *kit.Process }

func mustStart(tb testing.TB, name string, args ...string) *process {
	tb.Helper()
	started, err := kit.Start(exec.Command(name, args...), nil)
	require.NoError(tb, err)
	p := &process{started}
	tb.Cleanup(func() { p.end(tb) })
	return p
}

func mustRedis(tb testing.TB, port int, arguments ...string) {
	tb.Helper()
	server, err := kit.StartRedis(port, arguments...)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, server.Stop()) })
}

// end asks the process to end. It may be called again.
func (p *process) end(tb testing.TB) {
	tb.Helper()
	assert.NoError(tb, p.Stop(syscall.SIGINT), "%s", p.Output)
}

func (p *process) awaitLog(tb testing.TB, text string) {
	tb.Helper()
	require.True(tb, kit.Wait(10*time.Second, func() bool { return strings.Contains(p.Output.String(), text) }), "%q; log:\n%s", text, p.Output)
}

func mustWrite(tb testing.TB, name, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	require.NoError(tb, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// with runs the observer with no capabilities but those.
func with(tb testing.TB, capabilities string, args ...string) (name string, full []string) {
	tb.Helper()
	bounding := "-all"
	if capabilities != "" {
		bounding += "," + capabilities
	}
	return "setpriv", append([]string{"--bounding-set", bounding, "--inh-caps", "-all", "--no-new-privs", mustBuild(tb)}, args...)
}

// mustWritePublic writes a file that every user can read, as /etc and a ConfigMap hold it.
func mustWritePublic(tb testing.TB, name, text string) string {
	tb.Helper()
	path := mustWrite(tb, name, text)
	for directory := filepath.Dir(path); directory != os.TempDir(); directory = filepath.Dir(directory) {
		require.NoError(tb, os.Chmod(directory, 0o755))
	}
	return path
}

// serviceUser is whom the observer becomes (internal/privilege).
const serviceUser = 65521

// The ways in which the observer is started, what it gives up in each, and that all it does later still works.
func TestPrivileges(t *testing.T) {
	requireRoot(t)
	mustRedis(t, 24101)
	native := func(t *testing.T, args ...string) (string, []string) { return mustBuild(t), args }
	manifest := func(t *testing.T, args ...string) (string, []string) {
		return with(t, "+bpf,+perfmon,+setuid,+setgid", args...)
	}
	bare := func(t *testing.T, args ...string) (string, []string) { return with(t, "+bpf,+perfmon", args...) }
	systemd := func(t *testing.T, args ...string) (string, []string) {
		const capabilities = "-all,+bpf,+perfmon"
		return "setpriv", append([]string{"--reuid", "61234", "--regid", "61234", "--clear-groups", "--inh-caps", capabilities,
			"--ambient-caps", capabilities, "--bounding-set", capabilities, "--no-new-privs", mustBuild(t)}, args...)
	}
	tests := []struct {
		name string
		run  func(t *testing.T, args ...string) (string, []string)
		mode os.FileMode // of the configuration
		user int
		log  string
	}{
		{"native", native, 0o644, serviceUser, "user=65521"},
		{"manifest", manifest, 0o644, serviceUser, `dropped="[CAP_SETGID CAP_SETUID CAP_PERFMON CAP_BPF]"`},
		{"systemd", systemd, 0o644, 61234, `dropped="[CAP_PERFMON CAP_BPF]"`},
		{"root that may not change users", bare, 0o644, 0, "needs CAP_SETGID"},
		{"configuration of root's", native, 0o600, 0, "an unprivileged user cannot reload the configuration"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const text = "listen: 127.0.0.1:24100\nports: [24101]\ncapture: {ring_size: 64KiB}\n"
			config := mustWritePublic(t, "observer.yaml", text)
			require.NoError(t, os.Chmod(config, test.mode))
			name, args := test.run(t, "--config", config)
			observer := mustStart(t, name, args...)
			observer.awaitLog(t, "redis-observer started")
			assert.Contains(t, observer.Output.String(), test.log)
			assertConfined(t, observer, test.user)

			// The ring is small for the loss that is to come. What is counted exactly comes in parts that fit into it as a whole, for on a busy
			// machine nothing may be read meanwhile: replies must not be the values that the loss of the row before left.
			for counted := 200; counted <= 1000; counted += 200 {
				mustOutput(t, "redis-benchmark", "-p", "24101", "-n", "200", "-c", "5", "-q", "GET", "absent")
				awaitMetric(t, "http://127.0.0.1:24100/metrics", `redis_commands_total{command="get",name="default",status="success"} `+itoa(counted))
			}

			// Connections are listed again after a loss.
			require.NoError(t, observer.Signal(syscall.SIGSTOP))
			mustOutput(t, "redis-benchmark", "-p", "24101", "-n", "100000", "-c", "50", "-P", "16", "-t", "set", "-d", "1000", "-q")
			require.NoError(t, observer.Signal(syscall.SIGCONT))
			observer.awaitLog(t, "listing connections again")

			// New ports, and the listing that goes with them; a host name; the first Unix socket, whose probes are attached now.
			changed := strings.Replace(text, "[24101]", "[24101, 24102]", 1) + "endpoints: [{name: local, addresses: ['localhost:24104', 'unix:/run/redis-observer-test.sock']}]\n"
			require.NoError(t, os.WriteFile(config, []byte(changed), test.mode))
			observer.awaitLog(t, `msg="configuration reloaded" client_ports="[24101 24102 24104]"`)
			time.Sleep(200 * time.Millisecond)
			awaitMetric(t, "http://127.0.0.1:24100/metrics", "redis_observer_config_last_reload_successful 1")
			assert.NotContains(t, observer.Output.String(), "could not be listed")
			assert.NotContains(t, observer.Output.String(), "cannot resolve the host name")
			observer.end(t)
			assert.NotContains(t, observer.Output.String(), "level=ERROR")
			assert.Contains(t, observer.Output.String(), "redis-observer stopped")
		})
	}
}

// assertConfined says that a process runs as a user, without capabilities, and with a filter of system calls, on all of its threads.
func assertConfined(t *testing.T, p *process, user int) {
	t.Helper()
	kept := "0000000000000000"
	if strings.Contains(p.Output.String(), "kept=[CAP_BPF]") {
		kept = "0000008000000000"
	}
	threads, err := filepath.Glob(filepath.Join("/proc", itoa(p.PID()), "task", "*", "status"))
	require.NoError(t, err)
	assert.NotEmpty(t, threads)
	for _, thread := range threads {
		status, err := os.ReadFile(thread)
		if err != nil { // it has ended
			continue
		}
		id := strings.Repeat("\t"+itoa(user), 4)
		for _, line := range []string{"Uid:" + id, "Gid:" + id, "CapPrm:\t" + kept, "CapEff:\t" + kept, "CapInh:\t0000000000000000",
			"CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
			assert.Contains(t, string(status), line+"\n")
		}
	}
	assert.Contains(t, p.Output.String(), "system calls filtered")
}

// Whatever is missing is named.
func TestMissingCapabilities(t *testing.T) {
	requireRoot(t)
	tests := []struct{ name, held, want string }{
		{"none", "", "missing CAP_BPF and CAP_PERFMON"},
		{"no CAP_PERFMON", "+bpf", "missing CAP_PERFMON"},
		{"no CAP_BPF", "+perfmon", "missing CAP_BPF"},
		{"others do not help", "+net_admin,+sys_ptrace,+dac_override,+sys_resource", "missing CAP_BPF and CAP_PERFMON"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name, args := with(t, test.held, "--listen", "127.0.0.1:24103")
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			output, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
			var failed *exec.ExitError
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, 1, failed.ExitCode(), "%s", output)
			assert.Contains(t, string(output), test.want)
		})
	}
}

// What a machine grants whose kernel or container runtime does not know the two.
func TestSysAdminAlone(t *testing.T) {
	requireRoot(t)
	name, args := with(t, "+sys_admin", "--listen", "127.0.0.1:24104")
	observer := mustStart(t, name, args...)
	observer.awaitLog(t, "redis-observer started")
	assert.Contains(t, observer.Output.String(), "dropped=[CAP_SYS_ADMIN]")
}
