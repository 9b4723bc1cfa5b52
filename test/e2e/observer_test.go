package e2e

import (
	"fmt"
	"os"
	"os/exec"
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
	startTime = time.Minute      // what starting may take on a busy machine: 5 s at a load of 13
	settled   = 30 * time.Second // what the last events may take to become metrics
)

// observer is a running redis-observer.
type observer struct {
	tb testing.TB
	*kit.Observer
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
	started, err := kit.StartObserver(kit.ObserverOptions{Program: binary, Port: mustPort(tb), Configuration: config, Prepare: prepare})
	require.NoError(tb, err)
	return cleanly(tb, started)
}

// mustPrepare returns an observer that is not started.
func mustPrepare(tb testing.TB, config string) *observer {
	tb.Helper()
	RequireObserver(tb)
	prepared, err := kit.NewObserver(kit.ObserverOptions{Port: mustPort(tb), Configuration: config})
	require.NoError(tb, err)
	return cleanly(tb, prepared)
}

// cleanly requires a good end of an observer when the test ends, of the last start if there were several.
func cleanly(tb testing.TB, started *kit.Observer) *observer {
	o := &observer{tb, started}
	tb.Cleanup(func() {
		if o.Process == nil {
			assert.NoError(tb, o.Clean())
			return
		}
		if o.Running() {
			assert.Equal(tb, 0, o.mustStop(syscall.SIGTERM), "exit status")
		}
		assert.NoError(tb, o.Clean())
		if tb.Failed() {
			tb.Logf("observer:\n%s", o.Log())
		}
		assert.NotContains(tb, o.Log(), "DATA RACE")
		assert.NotContains(tb, o.Log(), "panic:")
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
	require.NoError(o.tb, o.Configure(config))
}

func (o *observer) mustStart() {
	o.tb.Helper()
	require.NoError(o.tb, o.Start())
}

func (o *observer) mustSignal(signal syscall.Signal) {
	o.tb.Helper()
	require.NoError(o.tb, o.Signal(signal))
}

// mustStop ends the observer with a signal and returns its exit status, -1 if the signal killed it.
func (o *observer) mustStop(signal syscall.Signal) int {
	o.tb.Helper()
	require.NoError(o.tb, o.Process.Stop(signal))
	return o.ExitCode()
}

// mustScrape reads the metrics as Prometheus would.
func (o *observer) mustScrape() snapshot {
	o.tb.Helper()
	samples, err := o.Scrape()
	require.NoError(o.tb, err, "%s", o.Log())
	return snapshot(samples)
}

// mustSee scrapes until something holds, and returns the next scrape: families of one are not read at the same moment.
func (o *observer) mustSee(what string, holds func(snapshot) bool) snapshot {
	o.tb.Helper()
	var s snapshot
	if !kit.Wait(settled, func() bool { s = o.mustScrape(); return holds(s) }) {
		require.FailNow(o.tb, "not seen: "+what, "%s", s)
	}
	return o.mustScrape()
}

var residentSize = regexp.MustCompile(`RssAnon:\s+(\d+) kB`)

// mustResident returns how much memory of its own the observer occupies, without the ring, in MiB.
func (o *observer) mustResident() int {
	o.tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.PID()))
	require.NoError(o.tb, err)
	match := residentSize.FindSubmatch(status)
	require.NotNil(o.tb, match)
	kib, err := strconv.Atoi(string(match[1]))
	require.NoError(o.tb, err)
	return kib >> 10
}
