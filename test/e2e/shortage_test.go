package e2e

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// mustPipe returns a pipe that takes one page.
func mustPipe(tb testing.TB) (reader, writer *os.File) {
	tb.Helper()
	reader, writer, err := os.Pipe()
	require.NoError(tb, err)
	_, err = unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	require.NoError(tb, err)
	tb.Cleanup(func() {
		_ = reader.Close() // a test may have closed them
		_ = writer.Close()
	})
	return reader, writer
}

// mustFill writes to a pipe until it takes no more.
func mustFill(tb testing.TB, writer *os.File) {
	tb.Helper()
	fd := int(writer.Fd())
	require.NoError(tb, unix.SetNonblock(fd, true))
	for err := error(nil); err != unix.EAGAIN; {
		_, err = unix.Write(fd, []byte{'\n'})
	}
	require.NoError(tb, unix.SetNonblock(fd, false))
}

// Whoever reads the log hangs: everything goes on, the reading of events after a loss that is to be logged too, and the end.
func TestLogThatNobodyReads(t *testing.T) {
	t.Parallel()
	_, writer := mustPipe(t)
	mustFill(t, writer)
	r := mustRedis(t)
	o := mustPreparedObserver(t, raceBinary, observing(r.Port)+"capture: {ring_size: 64KiB}\n", func(command *exec.Cmd) { command.Stderr = writer })
	if !byPackets() {
		o.mustLoseEvents(r)
		time.Sleep(1500 * time.Millisecond) // losses are logged within a second
	}
	for range 5 {
		o.mustSignal(syscall.SIGHUP)
		time.Sleep(50 * time.Millisecond)
	}
	c := mustDial(t, r.Address())
	for range 20 {
		c.mustDo("PING")
	}
	o.mustSee("commands", func(s snapshot) bool { return s.sum("redis_commands_total", "command=ping") == 20 })
	begin := time.Now()
	assert.Equal(t, 0, o.mustStop(syscall.SIGTERM), "exit status")
	assert.Less(t, time.Since(begin), 5*time.Second)
}

// Whoever read the log is gone: that ends nothing, and what is not written is counted.
func TestLogWhoseReaderIsGone(t *testing.T) {
	t.Parallel()
	reader, writer := mustPipe(t)
	r := mustRedis(t)
	o := mustPreparedObserver(t, raceBinary, observing(r.Port), func(command *exec.Cmd) { command.Stderr = writer })
	require.NoError(t, reader.Close())
	o.mustSignal(syscall.SIGHUP)
	o.mustSee("lines that were not written", func(s snapshot) bool { return s.value("redis_observer_log_lines_dropped_total") > 0 })
	c := mustDial(t, r.Address())
	c.mustDo("PING")
	o.mustSee("a command", func(s snapshot) bool { return s.sum("redis_commands_total", "command=ping") == 1 })
	assert.Equal(t, 0, o.mustStop(syscall.SIGTERM), "exit status")
}

// fewDescriptors runs the observer with a limit of open files that nobody raises.
func fewDescriptors(command *exec.Cmd) {
	command.Args = append([]string{"sh", "-c", `ulimit -n 32 && exec "$@"`, "sh"}, command.Args...)
	command.Path = "/bin/sh"
}

// mustLimit sets how many files a running observer may have open.
func (o *observer) mustLimit(files uint64) {
	o.tb.Helper()
	var limit unix.Rlimit
	require.NoError(o.tb, unix.Prlimit(o.PID(), unix.RLIMIT_NOFILE, nil, &limit))
	limit.Cur = files
	require.NoError(o.tb, unix.Prlimit(o.PID(), unix.RLIMIT_NOFILE, &limit, nil))
}

// Too few descriptors at the start are no reason to capture packets for life: a shortage that stays is an error that says what to do. One that
// passes is waited for (TestShortageAtTheStart in internal/capture).
func TestFewDescriptorsAtTheStart(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "what would be captured otherwise are packets")
	o := mustObserver(t, observing(mustPort(t)))
	assert.Equal(t, 0, o.mustStop(syscall.SIGTERM))
	o.Options.Prepare = fewDescriptors
	require.NoError(o.tb, o.Spawn())
	<-o.Exited()
	assert.Equal(t, 1, o.ExitCode())
	assert.Contains(t, o.Log(), "too few file descriptors")
	assert.Contains(t, o.Log(), "LimitNOFILE")
}

// A configuration that changes while nothing can be opened is read when something can.
func TestFewDescriptorsAtAChange(t *testing.T) {
	t.Parallel()
	first, second := mustRedis(t), mustRedis(t)
	c := mustDial(t, second.Address())
	c.mustDo("PING")
	o := mustObserver(t, observing(first.Port))
	o.mustLimit(3) // what is open stays open
	o.mustConfigure(observing(first.Port, second.Port))
	time.Sleep(2 * time.Second)
	assert.NotContains(t, o.Log(), "configuration reloaded")
	o.mustLimit(1024)
	o.mustSee("the connection on the new port", func(s snapshot) bool { return s.sum("redis_pool_connections") == 1 })
	time.Sleep(200 * time.Millisecond) // so that the next request is known to be the only one outstanding
	c.mustDo("PING")
	o.mustSee("a command", func(s snapshot) bool { return s.sum("redis_commands_total", "command=ping") == 1 })
}
