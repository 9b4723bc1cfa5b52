package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture"
)

const bad = "-WRONGTYPE x\r\n"

func containsLine(text, line string) bool { return slices.Contains(strings.Split(text, "\n"), line) }

func TestObserve(t *testing.T) {
	r := mustRun(t, 21100, "endpoints: [{name: sessions, addresses: ['10.0.0.1:6379']}, {name: idle, addresses: ['10.0.0.2:6379']}]")
	c := r.source.connect(1, "10.0.0.1:6379")
	c.exchange("$-1\r\n")
	c.exchange(bad)
	r.awaitMetric(`redis_commands_total{command="get",name="sessions",status="error"} 1`)
	r.awaitMetric(`redis_pool_connections{name="sessions",state="available"} 1`)
	_, body := r.get("/metrics")
	for _, line := range []string{
		`redis_commands_total{command="get",name="sessions",status="success"} 1`,
		`redis_command_errors_total{command="get",name="sessions"} 1`,
		`redis_command_duration_seconds_count{command="get",name="sessions"} 2`,
		`redis_pool_connections{name="sessions",state="available"} 1`,
		`redis_observer_capture_info{backend="fake"} 1`,
		`redis_observer_config_last_reload_successful 1`,
	} {
		assert.True(t, containsLine(body, line), line)
	}
	assert.NotContains(t, body, `redis_pool_connections{name="idle"`, "a name that was never used must not look like an exhausted pool")
	assert.Contains(t, body, "\nredis_observer_last_read_timestamp_seconds ")
	status, page := r.get("/")
	assert.Equal(t, 200, status)
	assert.Contains(t, page, "redis-observer")

	// Events from before the end are still read.
	for range 100 {
		c.exchange("$-1\r\n")
	}
	r.end()
	assert.Empty(t, r.source.events)
	assert.Contains(t, r.stderr.String(), "redis-observer stopped")
	assert.NotContains(t, r.stderr.String(), "WRONGTYPE")
	assert.Contains(t, r.stderr.String(), `msg="privileges dropped" dropped=[CAP_PERFMON] kept=[CAP_BPF]`)
}

func TestReloadKeepsCountersAndConnections(t *testing.T) {
	r := mustRun(t, 21101, "endpoints: [{name: old, addresses: ['10.0.0.1:6379']}]")
	c := r.source.connect(1, "10.0.0.1:6379")
	c.exchange("$-1\r\n")
	r.awaitMetric(`redis_commands_total{command="get",name="old",status="success"} 1`)

	// Valid, on SIGHUP.
	r.write("endpoints: [{name: new, addresses: ['10.0.0.1:6379', '*:6400']}]\nlog: {level: debug}\nmetrics: {buckets: [1]}\n")
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	r.awaitMetric(`redis_pool_connections{name="new",state="available"} 1`)
	c.exchange("$-1\r\n")
	r.awaitMetric(`redis_commands_total{command="get",name="new",status="success"} 1`)
	_, body := r.get("/metrics")
	assert.True(t, containsLine(body, `redis_commands_total{command="get",name="old",status="success"} 1`), "the old counter stays")
	assert.NotContains(t, body, `redis_pool_connections{name="old"`, "an empty pool of a name that is configured no more would keep an alert firing")
	assert.Equal(t, []uint16{6379, 6400}, r.source.ports())
	r.await(func() bool { return strings.Contains(r.stderr.String(), "take effect after a restart") }, "restart keys")
	assert.Contains(t, r.stderr.String(), "metrics")

	// Invalid: rejected as a whole.
	r.write("endpoints: [{name: newest, addresses: ['10.0.0.1:6379']}]\nports: [0]\n")
	r.awaitMetric("redis_observer_config_last_reload_successful 0")
	c.exchange("$-1\r\n")
	r.awaitMetric(`redis_commands_total{command="get",name="new",status="success"} 2`)
	assert.Contains(t, r.stderr.String(), "ports[0]: 0 is not a port")

	// If the source rejects the ports, the names are restored too.
	r.source.failPorts(errors.New("refused"))
	r.write("endpoints: [{name: newest, addresses: ['10.0.0.1:6379']}]\n")
	r.await(func() bool { return strings.Contains(r.stderr.String(), "set observed ports: refused") }, "refusal")
	r.source.failPorts(nil)
	c.exchange("$-1\r\n")
	r.awaitMetric(`redis_commands_total{command="get",name="new",status="success"} 3`)
	r.end()
}

func TestReloadOnSymlinkSwap(t *testing.T) {
	r := mustRun(t, 21102, "endpoints: [{name: old, addresses: ['10.0.0.1:6379']}]")
	next := filepath.Join(t.TempDir(), "next.yaml")
	require.NoError(t, os.WriteFile(next, []byte("endpoints: [{name: swapped, addresses: ['10.0.0.1:6379']}]"), 0o600))
	require.NoError(t, os.Symlink(next, r.file+".tmp"))
	require.NoError(t, os.Rename(r.file+".tmp", r.file))
	r.await(func() bool { return strings.Contains(r.stderr.String(), "configuration reloaded") }, "reload")
	r.source.connect(1, "10.0.0.1:6379").exchange("$-1\r\n")
	r.awaitMetric(`redis_commands_total{command="get",name="swapped",status="success"} 1`)
	r.end()
}

// A truncated file is rejected, and a file that blocks or does not end is not read.
func TestReloadRejectsDamagedFiles(t *testing.T) {
	const whole = "ports: [6379]\nendpoints:\n  - name: first\n    addresses: ['10.0.0.1:6379']\n  - name: last\n    addresses: ['10.0.0.2:6400']\n"
	r := mustRun(t, 21106, "ports: [6379]\n")
	fifo := func() {
		require.NoError(t, os.Remove(r.file))
		require.NoError(t, syscall.Mkfifo(r.file, 0o600))
	}
	huge := func() { require.NoError(t, os.Truncate(r.file, 200<<20)) }
	r.write(whole)
	r.await(func() bool { return slices.Equal(r.source.ports(), []uint16{6379, 6400}) }, "first reload")
	for _, damage := range []struct {
		name, log string
		happen    func()
	}{
		{"emptied", "the file has become empty", func() { require.NoError(t, os.Truncate(r.file, 0)) }},
		{"cut off", "cut off after", func() { require.NoError(t, os.Truncate(r.file, int64(len(whole)-48))) }},
		{"nothing observed", "no port to observe", func() { r.write("ports: []\n") }},
		{"huge", "is larger than", huge},
		{"FIFO", "is a FIFO, not a regular file", fifo},
	} {
		damage.happen()
		r.awaitMetric("redis_observer_config_last_reload_successful 0")
		r.await(func() bool { return strings.Contains(r.stderr.String(), damage.log) }, damage.name)
		assert.Equal(t, []uint16{6379, 6400}, r.source.ports(), damage.name)
		if damage.name != "FIFO" { // shut down while it is there
			r.write(whole)
			r.awaitMetric("redis_observer_config_last_reload_successful 1")
		}
	}
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGHUP)
	defer signal.Stop(received)
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	r.end()
	<-received // a later delivery would end the test process
}

func TestServiceManager(t *testing.T) {
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	require.NoError(t, err)
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", socket.LocalAddr().String())
	t.Setenv("WATCHDOG_USEC", "100000")
	// Read all the time: the kernel keeps ten messages, and an eleventh is dropped.
	messages := make(chan string, 10000)
	go func() {
		buffer := make([]byte, 256)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				return // the end of the test
			}
			messages <- string(buffer[:n])
		}
	}()
	await := func(prefix string) {
		deadline := time.After(time.Minute)
		for {
			select {
			case message := <-messages:
				if strings.HasPrefix(message, prefix) {
					return
				}
			case <-deadline:
				require.FailNow(t, "not notified", prefix)
			}
		}
	}
	r := mustRun(t, 21103, "")
	await("READY=1")
	await("WATCHDOG=1")
	r.write("ports: [6380]")
	await("RELOADING=1\nMONOTONIC_USEC=")
	await("READY=1")
	r.end()
	await("STOPPING=1")
}

func TestRunFaults(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:21104")
	require.NoError(t, err)
	defer taken.Close()
	tests := []struct {
		name, want string
		args       []string
	}{
		{"unknown flag", "unknown flag: --bakend (did you mean --backend? see redis-observer --help)", []string{"--bakend", "auto"}},
		{"flag of another command", "unknown flag: --listen (see redis-observer replay --help)", []string{"replay", "--listen", ":1", "x"}},
		{"flags of other commands", "unknown flag: --ports (see redis-observer version --help)", []string{"version", "--ports", "1"}},
		{"unknown command", `unknown command "observe" (allowed check, completion, replay, top, version)`, []string{"observe"}},
		{"misspelt command", `unknown command "chek" (did you mean check? allowed`, []string{"chek"}},
		{"argument", `unknown command "x" for "redis-observer check"`, []string{"check", "x"}},
		{"missing file", "/nonexistent.yaml", []string{"--config", "/nonexistent.yaml"}},
		{"faulty configuration", "capture.backend: unknown value", []string{"--backend", "ebpf"}},
		{"address in use", "listen on 127.0.0.1:21104: ", []string{"--listen", "127.0.0.1:21104"}},
		{"no backend", "open capture: nothing works", []string{"--listen", "127.0.0.1:21105"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			world := program{noHosts{}, machine{open: func(context.Context, capture.Options) (capture.Source, error) {
				return nil, errors.New("open capture: nothing works")
			}}}
			assert.Equal(t, 1, world.run(context.Background(), test.args, &stdout, &stderr))
			assert.Contains(t, stderr.String(), test.want)
			assert.Empty(t, stdout.String())
		})
	}
}

func TestVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	assert.Equal(t, 0, run(context.Background(), []string{"version"}, &stdout, &stderr))
	assert.True(t, strings.HasPrefix(stdout.String(), "redis-observer "+version+" (go"))
	text := stdout.String()
	stdout.Reset()
	assert.Equal(t, 0, run(context.Background(), []string{"--version"}, &stdout, &stderr))
	assert.Equal(t, text, stdout.String())
}

func TestCompletion(t *testing.T) {
	for line, want := range map[string]string{
		"check --backend=": "auto\n", "replay --output=": "prometheus\ntable\njson\n", "che": "check\t",
	} {
		var stdout, stderr bytes.Buffer
		assert.Equal(t, 0, run(context.Background(), append([]string{"__complete"}, strings.Fields(line)...), &stdout, &stderr))
		assert.Contains(t, stdout.String(), want, line)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var stdout, stderr bytes.Buffer
		assert.Equal(t, 0, run(context.Background(), []string{"completion", shell}, &stdout, &stderr))
		assert.Contains(t, stdout.String(), "redis-observer", shell)
	}
}

// A client that opens connections without end does not fill the disk with log lines.
func TestCrowdsAreLoggedInAFewLines(t *testing.T) {
	r := mustRun(t, 21130, "log: {level: debug}\nendpoints: [{name: sessions, addresses: ['10.0.0.1:6379']}]")
	const displaced = 300
	begin := time.Now()
	for range displaced + 100 { // 100 of them stay open
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		require.NoError(t, err)
		defer conn.Close()
	}
	status := 0
	r.await(func() bool { status, _ = r.get("/healthz"); return status == 200 }, "served beside them")
	lines := strings.Count(r.stderr.String(), "too many connections")
	assert.Positive(t, lines)
	assert.LessOrEqual(t, lines, limitCount*(1+int(time.Since(begin)/limitWindow)))
	r.end()
}

func TestHeartbeat(t *testing.T) {
	var p heartbeat
	assert.ErrorIs(t, p.check(), errNotAttached)
	p.beat()
	assert.NoError(t, p.check())
	assert.WithinDuration(t, time.Now(), p.at(), time.Second)
	p.last.Store(int64(time.Since(began) - 2*staleAfter))
	assert.ErrorContains(t, p.check(), "last read 20s ago")
	assert.WithinDuration(t, time.Now().Add(-2*staleAfter), p.at(), time.Second)
}

// A beat releases all who wait for one, and nobody waits for a loop that has ended, or for long.
func TestAwaitBeat(t *testing.T) {
	p := newHeartbeat()
	beats := make(chan struct{}, 1)
	go func() {
		for range beats {
			p.beat()
		}
	}()
	wake := func() { beats <- struct{}{} }
	assert.True(t, p.await(wake, nil))
	assert.True(t, p.await(wake, nil), "each waits for a beat of its own")
	close(beats)

	past := make(chan time.Time)
	close(past)
	assert.False(t, p.await(func() {}, past))
	p.end()
	assert.False(t, p.await(func() {}, nil))
	new(heartbeat).beat() // where nobody can wait
}
