package e2e

import (
	"fmt"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustBenchmark runs redis-benchmark.
func mustBenchmark(tb testing.TB, r *redis, requests, pipeline int) {
	tb.Helper()
	output, err := benchmark(r, "get,set,incr,lpush,lrange,mset", requests, pipeline).CombinedOutput()
	require.NoError(tb, err, "%s", output)
}

func benchmark(r *redis, commands string, requests, pipeline int, arguments ...string) *exec.Cmd {
	return exec.Command("redis-benchmark", append([]string{
		"-p", strconv.Itoa(r.Port), "-q", "-c", "50", "-t", commands, "-n", strconv.Itoa(requests), "-P", strconv.Itoa(pipeline),
	}, arguments...)...)
}

// assertTruth waits until the observer counted what the server did since before, and compares all.
func assertTruth(tb testing.TB, o *observer, r *redis, name string, before counts) snapshot {
	tb.Helper()
	truth := r.mustStats()
	s := o.mustSee(fmt.Sprintf("%d commands", truth.total()), func(s snapshot) bool {
		return s.commands(name).since(before).total() >= truth.total()
	})
	assert.Equal(tb, truth, s.commands(name).since(before), "commands of %s", name)
	return s
}

// The observer as it is shipped keeps up with the configuration's defaults. The one with the race detector cannot: it has room for all that
// it has not read yet, so its two loads may run at once, and how long they are does not matter.
func TestBenchmarkIsCountedExactly(t *testing.T) {
	for _, test := range []struct {
		name, binary, config string
		requests, pipeline   int
	}{
		{"P=1", shippedBinary, "", 20000, 1},
		{"P=16", shippedBinary, "", 20000, 16},
		{"P=1 race", raceBinary, roomy, 5000, 1},
		{"P=16 race", raceBinary, roomy, 5000, 16},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.config == roomy {
				t.Parallel()
			}
			r := mustRedis(t)
			o := mustObserverOf(t, test.binary, observing(r.Port)+test.config)
			r.mustResetStats()
			mustBenchmark(t, r, test.requests, test.pipeline)
			if byPackets() && o.overrun() {
				o.assertTold(r)
				return
			}
			s := assertTruth(t, o, r, "default", nil)
			assertExact(t, s)
			assert.GreaterOrEqual(t, s.sum("redis_commands_total", "status=success"), 9*test.requests)
		})
	}
}

// overrun reports whether packets found no room: by the time that all commands have their replies, the kernel has counted that.
func (o *observer) overrun() bool {
	return o.mustScrape().value("redis_observer_capture_lost_events_total", "reason=ring_full") > 0
}

// assertTold asserts that what a full ring lost is missing, that no more was counted than took place, and that counters say so.
func (o *observer) assertTold(r *redis) {
	o.tb.Helper()
	o.mustSeePool("default", 0, 0) // those whose end was lost are removed
	s := o.mustScrape()
	truth, counted := r.mustStats(), s.commands("default")
	o.tb.Logf("the ring was full: %d of %d commands are counted; %v", counted.total(), truth.total(), s.losses())
	for command, n := range counted {
		assert.LessOrEqual(o.tb, n, truth[command], command)
	}
	assert.Positive(o.tb, s.sum("redis_observer_gaps_total", "effect=broken"))
	assert.Positive(o.tb, s.sum("redis_observer_unpaired_commands_total"))
}
