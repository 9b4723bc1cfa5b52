package deploy

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lockedBuffer is written by a process and read by its test.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// process is a program that runs beside the test and ends with it.
type process struct {
	*exec.Cmd
	log  lockedBuffer
	done chan error
}

func mustStart(tb testing.TB, name string, args ...string) *process {
	tb.Helper()
	p := &process{Cmd: exec.CommandContext(context.Background(), name, args...), done: make(chan error, 1)}
	p.Stdout, p.Stderr = &p.log, &p.log
	require.NoError(tb, p.Start())
	go func() { p.done <- p.Wait() }()
	tb.Cleanup(func() { p.end(tb) })
	return p
}

// end asks the process to end, and sees to it. It may be called again.
func (p *process) end(tb testing.TB) {
	tb.Helper()
	_ = p.Process.Signal(os.Interrupt) // it may have ended
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(10 * time.Second):
		_ = p.Process.Kill()
		assert.Fail(tb, "the process had to be killed", "%s\n%s", p.Path, &p.log)
	}
}

func (p *process) awaitLog(tb testing.TB, text string) {
	tb.Helper()
	require.Eventually(tb, func() bool { return strings.Contains(p.log.String(), text) }, 10*time.Second, 20*time.Millisecond,
		"%q; log:\n%s", text, &p.log)
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

// The capabilities of the manifests are enough, and gone once the probes are attached; the observer goes on to observe.
func TestDocumentedCapabilities(t *testing.T) {
	requireRoot(t)
	mustStart(t, "redis-server", "--port", "24101", "--save", "").awaitLog(t, "Ready to accept connections")
	config := mustWrite(t, "observer.yaml", "listen: 127.0.0.1:24100\nports: [24101]\n")
	name, args := with(t, "+bpf,+perfmon", "--config", config)
	observer := mustStart(t, name, args...)
	observer.awaitLog(t, "redis-observer observes")
	assert.Contains(t, observer.log.String(), `msg="privileges dropped" dropped="[CAP_PERFMON CAP_BPF]"`)

	status := string(mustRead(t, "/proc", itoa(observer.Process.Pid), "status"))
	kept := "0000000000000000"
	if strings.Contains(observer.log.String(), "kept=[CAP_BPF]") {
		kept = "0000008000000000"
	}
	for _, set := range []string{"CapPrm:\t" + kept, "CapEff:\t" + kept, "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1"} {
		assert.Contains(t, status, set)
	}

	mustOutput(t, "redis-benchmark", "-p", "24101", "-n", "1000", "-c", "5", "-t", "get", "-q")
	awaitMetric(t, "http://127.0.0.1:24100/metrics", `redis_commands_total{command="get",name="default",status="success"} 1000`)

	// New ports, and the listing that goes with them, need nothing more.
	require.NoError(t, os.WriteFile(config, []byte("listen: 127.0.0.1:24100\nports: [24101, 24102]\n"), 0o644))
	observer.awaitLog(t, "configuration reloaded")
	time.Sleep(200 * time.Millisecond)
	assert.NotContains(t, observer.log.String(), "could not be listed")
	observer.end(t)
	assert.NotContains(t, observer.log.String(), "level=ERROR")
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
	observer.awaitLog(t, "redis-observer observes")
	assert.Contains(t, observer.log.String(), "dropped=[CAP_SYS_ADMIN]")
}
