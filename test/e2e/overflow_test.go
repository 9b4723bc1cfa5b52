package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a small ring loses is counted as lost, what cannot be paired for it as unpaired; no command is counted twice or invented; and
// when the flood is over the counts are exact again.
func TestRingOverflow(t *testing.T) {
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port)+"capture: {ring_size: 64KiB, flush_interval: 1s}\n")
	kept := mustDial(t, r.Address())
	kept.mustDo("PING")
	r.mustResetStats()
	flood := time.Now()
	output, err := benchmark(r, "set,get", 30000, 8, "-d", "180").CombinedOutput()
	require.NoError(t, err, "%s", output)
	time.Sleep(2 * time.Second) // connections whose end was lost are found out
	kept.mustDo("ECHO", "synced again after a pause, whatever was lost")
	s := o.mustSee("the end of the flood", func(s snapshot) bool {
		return s.value("redis_observer_tracked_connections") == 1 && s.sum("redis_pool_connections") == 1 && s.commands("default")["echo"] == 1
	})
	seen := time.Now()
	truth, counted := r.mustStats(), s.commands("default")
	assert.Positive(t, s.value("redis_observer_capture_lost_events_total", "reason=ring_full"))
	assert.Positive(t, s.sum("redis_observer_unpaired_commands_total"))
	for _, edge := range []string{"edge=begin", "edge=end"} {
		at := s.value("redis_observer_last_loss_timestamp_seconds", "counter=capture_lost_events", "reason=ring_full", edge)
		assert.WithinRange(t, time.Unix(int64(at), 0), flood.Truncate(time.Second), seen, edge)
	}
	assert.Positive(t, s.value("redis_observer_loss_episodes_total"))
	share := s[series("redis_observer_last_loss_ratio", "reason=ring_full")]
	assert.Positive(t, share)
	assert.LessOrEqual(t, share, 1.0)
	for _, command := range []string{"set", "get"} {
		assert.LessOrEqual(t, counted[command], truth[command], command)
	}
	assert.Less(t, counted.total(), truth.total())

	r.mustResetStats()
	fresh := mustDial(t, r.Address())
	for _, c := range []*client{kept, fresh} {
		for range 50 {
			c.mustDo("LPUSH", "list", "a")
		}
	}
	after := assertTruth(t, o, r, "default", counted)
	assert.Equal(t, s.losses(), after.losses())
	assert.Equal(t, 2, after.sum("redis_observer_tracked_connections"), "those whose end was lost are removed")
}

// mustLoseEvents makes an observer with a small ring lose some of those of a server.
func (o *observer) mustLoseEvents(r *redis) {
	o.tb.Helper()
	o.mustSignal(syscall.SIGSTOP)
	burst := mustDial(o.tb, r.Address())
	for range 100 {
		burst.mustSend(repeat(100, "ECHO", strings.Repeat("x", 100)))
		burst.mustReceive(100)
	}
	for range 5000 { // the last room is kept for small calls, which have rings of their own too
		burst.mustDo("ECHO", strings.Repeat("x", 100))
	}
	o.mustSignal(syscall.SIGCONT)
	o.mustSee("the loss", func(s snapshot) bool {
		return s.value("redis_observer_capture_lost_events_total", "reason=ring_full") > 0
	})
}
