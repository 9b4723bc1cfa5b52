package e2e

import (
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pool returns the connections of a name.
func (s snapshot) pool(name string) (available, inUse int) {
	return s.value("redis_pool_connections", "name="+name, "state=available"), s.value("redis_pool_connections", "name="+name, "state=in_use")
}

func (o *observer) mustSeePool(name string, available, inUse int) {
	o.tb.Helper()
	o.mustSee("pool of "+name+": "+strconv.Itoa(available)+" available, "+strconv.Itoa(inUse)+" in use", func(s snapshot) bool {
		a, u := s.pool(name)
		return a == available && u == inUse
	})
}

// mustProgram starts a client in a process of its own, which is blocked in BLPOP.
func mustProgram(tb testing.TB, r *redis) *exec.Cmd {
	tb.Helper()
	program := exec.Command("redis-cli", "-p", strconv.Itoa(r.Port), "BLPOP", "empty", "0")
	require.NoError(tb, program.Start())
	tb.Cleanup(func() {
		_ = program.Process.Kill() // the test may have killed it
		_ = program.Wait()
	})
	return program
}

func TestPoolOfConnectionsOlderThanTheObserver(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	var idle, blocked []*client
	for range 5 {
		idle = append(idle, mustDial(t, r.Address()))
	}
	idle[0].mustDo("PING") // the others never said anything
	for range 3 {
		blocked = append(blocked, mustDial(t, r.Address()))
	}
	time.Sleep(50 * time.Millisecond) // the kernel notes in ticks of up to 10 ms which end sent last
	for _, c := range blocked {
		c.mustSend(request("BLPOP", "empty", "0"))
	}
	o := mustObserver(t, observing(r.Port))
	first := o.mustScrape()
	available, inUse := first.pool("default")
	assert.Equal(t, []int{5, 3}, []int{available, inUse}, "available and in use at the first scrape")
	assert.Equal(t, 8, first.value("redis_observer_tracked_connections"))

	time.Sleep(200 * time.Millisecond) // so that the next request is known to be the only one outstanding
	for _, c := range idle {
		c.mustSend(request("BLPOP", "empty", "0"))
	}
	o.mustSee("idle connections in use", func(s snapshot) bool { _, inUse := s.pool("default"); return inUse >= len(idle) })
	for _, c := range append(idle, blocked...) {
		require.NoError(t, c.Close())
	}
	o.mustSeePool("default", 0, 0)
	s := o.mustSee("the commands that ended with their connections", func(s snapshot) bool { return s.commands("default")["blpop"] == len(idle) })
	assert.Zero(t, s.value("redis_command_errors_total", "name=default", "command=blpop"), "nobody waited for them any more")
	assert.Equal(t, len(idle), s.value("redis_observer_unanswered_commands_total", "name=default", "reason=client_closed"))
}

func TestPoolFollowsConnections(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port))
	o.mustSeePool("default", 0, 0)
	dial := func(n int) (all []*client) {
		for range n {
			all = append(all, mustDial(t, r.Address()))
		}
		return all
	}
	idle, busy := dial(4), dial(3)
	for _, c := range busy {
		c.mustSend(request("BLPOP", "empty", "0"))
	}
	subscriber := dial(1)[0]
	subscriber.mustDo("SUBSCRIBE", "news")
	o.mustSeePool("default", 4, 4)

	require.NoError(t, idle[0].Close())
	require.NoError(t, busy[0].Close())
	o.mustSeePool("default", 3, 3)

	idle[1].mustReset()
	busy[1].mustReset()
	o.mustSeePool("default", 2, 2)

	program := mustProgram(t, r)
	o.mustSeePool("default", 2, 3)
	require.NoError(t, program.Process.Kill())
	o.mustSeePool("default", 2, 2)

	r.mustControl("CLIENT", "KILL", "TYPE", "pubsub")
	o.mustSeePool("default", 2, 1)

	r.mustControl("LPUSH", "empty", "a")
	busy[2].mustReceive(1)
	o.mustSeePool("default", 3, 0)

	r.mustKill()
	o.mustSeePool("default", 0, 0)
	for _, c := range append(append(idle, busy...), subscriber) {
		_ = c.Close() // some are closed
	}
	s := o.mustSee("the end of every socket", func(s snapshot) bool { return s.value("redis_observer_tracked_connections") == 0 })
	assert.Empty(t, s.losses())
}

// A port that nobody listens on, and one whose server does not accept: neither makes a connection of the pool that stays.
func TestPoolWithoutAServer(t *testing.T) {
	t.Parallel()
	port := mustPort(t)
	o := mustObserver(t, observing(port))
	for range 20 {
		_, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		require.Error(t, err)
	}
	o.mustSeePool("default", 0, 0)
	assert.Zero(t, o.mustScrape().value("redis_observer_tracked_connections"))
}
