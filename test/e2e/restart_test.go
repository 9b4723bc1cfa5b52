package e2e

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// load is traffic of several clients until it is stopped: half of them send one command after the other, half pipelines.
type load struct {
	clients []*client
	stop    atomic.Bool
	running sync.WaitGroup
	errors  chan error
}

func mustLoad(tb testing.TB, r *redis, clients int) *load {
	tb.Helper()
	l := &load{errors: make(chan error, clients)}
	for i := range clients {
		c := mustDial(tb, r.Address())
		l.clients = append(l.clients, c)
		batch, replies := request("SET", "key", "value"), 1
		if i%2 == 1 {
			batch, replies = append(repeat(8, "GET", "key"), repeat(8, "INCR", "counter")...), 16
		}
		l.running.Go(func() { l.run(c, batch, replies) })
	}
	return l
}

func (l *load) run(c *client, batch []byte, replies int) {
	for !l.stop.Load() {
		if err := c.send(batch); err != nil {
			l.errors <- err
			return
		}
		if err := c.receive(replies); err != nil {
			l.errors <- err
			return
		}
		time.Sleep(200 * time.Microsecond) // all tests share two CPUs
	}
}

// finish stops the load and returns the errors that its clients had.
func (l *load) finish() []error {
	l.stop.Store(true)
	l.running.Wait()
	close(l.errors)
	var errs []error
	for err := range l.errors {
		errs = append(errs, err)
	}
	return errs
}

// mustAllDo lets every client do something of its own that is easy to count.
func (l *load) mustAllDo(tb testing.TB) {
	tb.Helper()
	for _, c := range l.clients {
		c.mustDo("LPUSH", "list", "a")
		c.mustSend(repeat(10, "ECHO", "hello"))
		c.mustReceive(10)
	}
}

func TestObserverKilledInTheMiddleOfALoad(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port)+roomy)
	l := mustLoad(t, r, 8)
	time.Sleep(time.Second)
	require.Positive(t, o.mustScrape().sum("redis_commands_total"))

	require.Equal(t, -1, o.mustStop(syscall.SIGKILL))
	time.Sleep(200 * time.Millisecond)
	o.mustStart()
	s := o.mustScrape()
	assert.Equal(t, len(l.clients), s.sum("redis_pool_connections"), "connections at the first scrape")
	o.mustSee("commands paired again under load", func(s snapshot) bool { return s.sum("redis_commands_total") > 1000 })

	require.Empty(t, l.finish(), "errors of clients")
	time.Sleep(200 * time.Millisecond) // idle: every connection is synced at its next request
	before := o.mustScrape()
	r.mustResetStats()
	l.mustAllDo(t)
	after := assertTruth(t, o, r, "default", before.commands("default"))
	assert.Equal(t, before.losses(), after.losses())
	assert.Zero(t, after.sum("redis_commands_total", "status=error"))
}

func TestPipelinedConnectionInMidStream(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	l := mustLoad(t, r, 4)
	time.Sleep(100 * time.Millisecond)
	o := mustObserver(t, observing(r.Port)+roomy)
	s := o.mustSee("pairing without a pause", func(s snapshot) bool {
		return s.sum("redis_commands_total", "command=incr") > 100 && s.sum("redis_commands_total", "command=set") > 100
	})
	assert.Equal(t, counts{}, s.losses().since(counts{
		series("redis_observer_unpaired_commands_total", "name=default", "reason=mid_stream"): s.sum("redis_observer_unpaired_commands_total", "reason=mid_stream"),
	}), "lost otherwise")
	require.Empty(t, l.finish())
	time.Sleep(200 * time.Millisecond)
	before := o.mustScrape()
	r.mustResetStats()
	l.mustAllDo(t)
	assertTruth(t, o, r, "default", before.commands("default"))
}

func TestEndOnSignalUnderLoad(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			r := mustRedis(t)
			o := mustObserver(t, observing(r.Port)+roomy)
			l := mustLoad(t, r, 8)
			time.Sleep(300 * time.Millisecond)
			start := time.Now()
			assert.Equal(t, 0, o.mustStop(signal), "exit status")
			assert.Less(t, time.Since(start), 2*time.Second)
			assert.Empty(t, l.finish(), "errors of clients")
		})
	}
}

// The ring still holds every event when the signal comes: they are read, and the totals that are logged at the end include them.
func TestEndDrainsTheRing(t *testing.T) {
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port)+"capture: {flush_interval: 1s}\n")
	c := mustDial(t, r.Address())
	time.Sleep(100 * time.Millisecond)
	for range 500 {
		c.mustDo("PING")
	}
	require.Equal(t, 0, o.mustStop(syscall.SIGTERM))
	// The connection's beginning, and a request and a reply for each command.
	assert.Contains(t, o.Log(), "events=1001 ")
}
