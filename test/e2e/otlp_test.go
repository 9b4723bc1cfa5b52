package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/export/otlp/otlptest"
)

// exporting returns the configuration of an observer of a port that exports each second.
func exporting(port int, c *otlptest.Collector, protocol, names string) string {
	return fmt.Sprintf(`ports: []
endpoints: [{name: cache, addresses: ["127.0.0.1:%d"]}]
otlp: {endpoint: "http://%s", protocol: %s, interval: 1s, timeout: 500ms, names: %s}
`, port, c.Address, protocol, names)
}

// An observer without privileges exports what it serves. A collector that hangs or refuses changes
// neither its counts nor its scrapes, and gets all of it afterwards.
func TestExport(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			r, collector := mustRedis(t), otlptest.Start(t, protocol == "grpc", "", nil)
			o := mustObserverOf(t, shippedBinary, exporting(r.Port, collector, protocol, "prometheus"))
			c := mustDial(t, r.Address())
			sent := 0
			ask := func(n int) {
				c.mustSend(repeat(n, "GET", "key"))
				c.mustReceive(n)
				sent += n
				o.assertCommands("cache", counts{"get": sent})
			}
			arrives := func() {
				t.Helper()
				require.Eventually(t, func() bool {
					return collector.Sum("redis_command_duration_seconds_count", "name=cache", "command=get") == float64(sent)
				}, settled, 50*time.Millisecond, "%d commands arrive: %v", sent, collector.Values())
			}
			ask(100)
			arrives()
			for answer, result := range map[otlptest.Answer]string{
				otlptest.Hang: "timeout", otlptest.Unavailable: "failed", otlptest.Refuse: "rejected",
			} {
				collector.Set(answer)
				before := o.mustScrape().sum("redis_observer_otlp_exports_total", "result="+result)
				o.mustSee("exports that end with "+result, func(s snapshot) bool {
					return s.sum("redis_observer_otlp_exports_total", "result="+result) > before
				})
				ask(50)
				assert.Less(t, collector.Sum("redis_command_duration_seconds_count", "name=cache", "command=get"), float64(sent))
				collector.Set(otlptest.Accept)
				arrives()
			}
			last := o.mustScrape()
			assertExact(t, last)
			assert.InDelta(t, time.Now().Unix(), last.sum("redis_observer_otlp_last_success_timestamp_seconds"), settled.Seconds())
			for series, value := range last {
				if family, _, _ := strings.Cut(series, "{"); strings.HasPrefix(family, "redis_command") && !strings.HasSuffix(family, "_seconds") {
					assert.InDelta(t, value, collector.Values()[series], 1e-9, series)
				}
			}
			assert.Contains(t, o.Log(), "system calls filtered")
			assert.Contains(t, o.Log(), "metrics are exported again")

			ask(7) // and what is new goes with the end
			require.Zero(t, o.mustStop(syscall.SIGTERM))
			arrives()
		})
	}
}

// By the conventions, the durations of failures stand apart.
func TestExportByConventions(t *testing.T) {
	t.Parallel()
	r, collector := mustRedis(t), otlptest.Start(t, true, "", nil)
	o := mustObserver(t, exporting(r.Port, collector, "grpc", "semconv"))
	c := mustDial(t, r.Address())
	c.mustSend(repeat(20, "SET", "key", "text"))
	c.mustReceive(20)
	c.mustSend(repeat(5, "LPUSH", "key", "1"))
	c.mustReceive(5)
	c.mustSend(repeat(3, "CONFIG", "GET", "save"))
	c.mustReceive(3)
	o.assertCommands("cache", counts{"set": 20, "lpush": 5, "config_get": 3})
	server := []string{"db.system.name=redis", "redis_observer.name=cache", "server.address=127.0.0.1", fmt.Sprintf("server.port=%d", r.Port)}
	for _, want := range []struct {
		n          float64
		attributes []string
	}{
		{20, []string{"db.operation.name=SET"}},
		{5, []string{"db.operation.name=LPUSH", "error.type=WRONGTYPE", "db.response.status_code=WRONGTYPE"}},
		{3, []string{"db.operation.name=CONFIG GET"}},
	} {
		require.Eventually(t, func() bool {
			return collector.Sum("db.client.operation.duration_count", append(want.attributes, server...)...) == want.n
		}, settled, 50*time.Millisecond, "%v: %v", want, collector.Values())
	}
	require.Eventually(t, func() bool {
		return collector.Sum("db.client.connection.count", "db.client.connection.pool.name=cache", "db.client.connection.state=idle") == 1
	}, settled, 50*time.Millisecond)
	assert.Equal(t, 5, o.mustScrape().sum("redis_command_duration_seconds", "command=lpush"))
}

// Without otlp there is neither a goroutine nor a family of it.
func TestNoExport(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustPreparedObserver(t, raceBinary, observing(r.Port), func(c *exec.Cmd) { c.Env = append(c.Env, "GOTRACEBACK=all") })
	for series := range o.mustScrape() {
		assert.NotContains(t, series, "otlp")
	}
	assert.NotZero(t, o.mustStop(syscall.SIGQUIT))
	assert.Contains(t, o.Log(), "goroutine ")
	assert.NotContains(t, o.Log(), "opentelemetry")
	assert.NotContains(t, o.Log(), "google.golang.org/grpc")
}
