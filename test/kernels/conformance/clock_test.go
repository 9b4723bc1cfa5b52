package conformance

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit"
)

// TestClockIsSet sets the clock of the day by an hour, forward and back, while a command is outstanding: an observer that counts with that clock
// is not ready, takes what waits for expired, or makes a latency of an hour. It is for a machine of its own.
func TestClockIsSet(t *testing.T) {
	if os.Getenv("CONFORMANCE_ALONE") == "" || os.Geteuid() != 0 {
		t.Skip("sets the clock: needs root and CONFORMANCE_ALONE")
	}
	binary := mustObserverBinary(t)
	probed := false
	for _, backend := range mustProbe(t, binary) {
		// The probes are the same to the clock, whichever backend attaches them.
		if !backend.Usable || probed && backend.Name != "packet" {
			continue
		}
		probed = true
		t.Run(backend.Name, func(t *testing.T) {
			server := mustStartRedis(t, "client", "")
			o := mustStartObserver(t, binary, backend.Name, []*redisServer{server})
			time.Sleep(quiet)
			for _, step := range []time.Duration{time.Hour, -time.Hour} {
				t.Run(fmt.Sprint(step), func(t *testing.T) { testStep(t, o, server, step) })
			}
		})
	}
}

func testStep(t *testing.T, o *observer, server *redisServer, step time.Duration) {
	t.Helper()
	before := o.mustScrape(t)
	compare(t, o, server, func(t *testing.T) {
		waiting, other := mustConnect(t, server.Port, "127.0.0.1", plain), mustConnect(t, server.Port, "127.0.0.1", plain)
		_, err := waiting.Write(request("BLPOP", "clock", "0"))
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
		setClock(t, step)
		o.mustBeReadyStill(t) // before it read anything
		// What comes first behind the step may be read before the observer looks at any clock.
		require.Equal(t, "1", other.mustCall(t, "RPUSH", "clock", "element"))
		require.Equal(t, "element", waiting.mustReply(t))
		for range 100 {
			require.Equal(t, "PONG", other.mustCall(t, "PING"))
		}
		for range 30 { // for longer than the observer takes to show that it lives
			time.Sleep(50 * time.Millisecond)
			o.mustBeReadyStill(t)
		}
		require.Equal(t, "OK", other.mustCall(t, "SET", "text", "x"))
		require.Contains(t, other.mustCall(t, "LPUSH", "text", "x"), "WRONGTYPE")
	})
	sum := func(s kit.Samples) float64 { return s.Sum("redis_command_duration_seconds_sum") }
	assert.Less(t, sum(o.mustScrape(t))-sum(before), step.Abs().Seconds()/2)
}

// setClock sets the clock of the day by so much.
func setClock(t *testing.T, step time.Duration) {
	t.Helper()
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_REALTIME, &now))
	then := unix.NsecToTimespec(now.Nano() + step.Nanoseconds())
	require.NoError(t, unix.ClockSettime(unix.CLOCK_REALTIME, &then))
}

// mustBeReadyStill looks once.
func (o *observer) mustBeReadyStill(t *testing.T) {
	t.Helper()
	require.True(t, o.Ready(), "not ready behind a step of the clock")
}
