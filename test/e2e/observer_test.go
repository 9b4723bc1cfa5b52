package e2e

import (
	"errors"
	"fmt"
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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

const (
	startTime = 20 * time.Second // what starting may take on a busy machine
	settled   = 30 * time.Second // what the last events may take to become metrics
)

// observer is a running redis-observer.
type observer struct {
	tb      testing.TB
	binary  string
	config  string // the path of its file
	listen  string
	prepare func(*exec.Cmd) // how it is run, if in another way; it may replace Path and Args
	command *exec.Cmd
	log     *kit.Output
	exited  chan struct{}
	state   *os.ProcessState // after exited
}

// mustObserver starts an observer with a configuration and waits until it is ready. It is stopped at the end of the test, and
// must then have been alive and have stopped in good order.
func mustObserver(tb testing.TB, config string) *observer {
	tb.Helper()
	return mustObserverOf(tb, raceBinary, config)
}

func mustObserverOf(tb testing.TB, binary, config string) *observer {
	tb.Helper()
	return mustPreparedObserver(tb, binary, config, nil)
}

// mustPreparedObserver starts an observer in another way than by its command line.
func mustPreparedObserver(tb testing.TB, binary, config string, prepare func(*exec.Cmd)) *observer {
	tb.Helper()
	RequireObserver(tb)
	o := &observer{tb: tb, binary: binary, config: filepath.Join(tb.TempDir(), "observer.yaml"), prepare: prepare}
	o.listen = fmt.Sprintf("127.0.0.1:%d", mustPort(tb))
	o.mustConfigure(config)
	o.mustStart()
	tb.Cleanup(func() {
		if o.running() {
			assert.Equal(tb, 0, o.mustStop(syscall.SIGTERM), "exit status")
		}
		if tb.Failed() {
			tb.Logf("observer:\n%s", o.log)
		}
		assert.NotContains(tb, o.log.String(), "DATA RACE")
		assert.NotContains(tb, o.log.String(), "panic:")
	})
	return o
}

// roomy has a ring that takes in what an observer slowed down by the race detector has not read yet.
const roomy = "capture: {ring_size: 256MiB}\n"

// observing returns the configuration of an observer of some ports.
func observing(ports ...int) string {
	return fmt.Sprintf("ports: [%s]\n", strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ports)), ", "), "[]"))
}

// mustConfigure replaces the configuration file as a whole, as it has to be for one that is read meanwhile.
func (o *observer) mustConfigure(config string) {
	o.tb.Helper()
	next := o.config + ".next"
	require.NoError(o.tb, os.WriteFile(next, []byte(fmt.Sprintf("listen: %q\n%s", o.listen, config)), 0o600))
	require.NoError(o.tb, os.Rename(next, o.config))
}

func (o *observer) mustStart() {
	o.tb.Helper()
	o.mustSpawn()
	require.Eventually(o.tb, func() bool { return !o.running() || o.ready() }, startTime, 20*time.Millisecond, "not ready")
	require.True(o.tb, o.running(), "it ended: %s", o.log)
}

// mustSpawn starts the process and waits for nothing.
func (o *observer) mustSpawn() {
	o.tb.Helper()
	o.log, o.exited = &kit.Output{}, make(chan struct{})
	o.command = exec.Command(o.binary, "--config", o.config)
	o.command.Stdout, o.command.Stderr = o.log, o.log
	o.command.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	if o.prepare != nil {
		o.prepare(o.command)
	}
	require.NoError(o.tb, o.command.Start())
	go func(command *exec.Cmd, exited chan struct{}) {
		_ = command.Wait() // the state says how it ended
		o.state = command.ProcessState
		close(exited)
	}(o.command, o.exited)
}

func (o *observer) running() bool {
	select {
	case <-o.exited:
		return false
	default:
		return true
	}
}

func (o *observer) ready() bool {
	response, err := http.Get("http://" + o.listen + "/readyz")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (o *observer) mustSignal(signal syscall.Signal) {
	o.tb.Helper()
	err := o.command.Process.Signal(signal)
	if !errors.Is(err, os.ErrProcessDone) {
		require.NoError(o.tb, err)
	}
}

// mustStop ends the observer with a signal and returns its exit status, -1 if the signal killed it.
func (o *observer) mustStop(signal syscall.Signal) int {
	o.tb.Helper()
	o.mustSignal(signal)
	select {
	case <-o.exited:
		return o.state.ExitCode()
	case <-time.After(startTime):
		_ = o.command.Process.Kill()
		<-o.exited
		require.FailNow(o.tb, "the observer does not stop")
		return -1
	}
}

// mustScrape reads the metrics as Prometheus would.
func (o *observer) mustScrape() snapshot {
	o.tb.Helper()
	response, err := http.Get("http://" + o.listen + "/metrics")
	require.NoError(o.tb, err, "scrape: %s", o.log)
	defer response.Body.Close()
	require.Equal(o.tb, http.StatusOK, response.StatusCode)
	samples, err := kit.ReadSamples(response.Body)
	require.NoError(o.tb, err)
	return snapshot(samples)
}

// mustSee scrapes until something holds, and returns the next scrape: families of one are not read at the same moment.
func (o *observer) mustSee(what string, holds func(snapshot) bool) snapshot {
	o.tb.Helper()
	for deadline := time.Now().Add(settled); ; time.Sleep(20 * time.Millisecond) {
		s := o.mustScrape()
		if holds(s) {
			return o.mustScrape()
		}
		if time.Now().After(deadline) {
			require.FailNow(o.tb, "not seen: "+what, "%s", s)
		}
	}
}

var residentSize = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)

// mustResident returns how much memory of its own the observer occupies, without the ring, in MiB.
func (o *observer) mustResident() int {
	o.tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.command.Process.Pid))
	require.NoError(o.tb, err)
	match := residentSize.FindSubmatch(status)
	require.NotNil(o.tb, match)
	kib, err := strconv.Atoi(string(match[1]))
	require.NoError(o.tb, err)
	return kib >> 10
}
