package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// assertUnanswered checks that exactly these commands ended with their connections, and nothing else went wrong.
func assertUnanswered(t *testing.T, o *observer, command string, n int) {
	t.Helper()
	s := o.mustSee("the end of all connections", func(s snapshot) bool {
		return s.sum("redis_pool_connections") == 0 && s.sum("redis_commands_total", "status=error") >= n
	})
	assert.Equal(t, n, s.value("redis_commands_total", "name=default", "command="+command, "status=error"))
	assert.Equal(t, n, s.sum("redis_commands_total", "status=error"))
	assert.Equal(t, n, s.value("redis_command_errors_total", "name=default", "command="+command))
	assert.Equal(t, n, s.sum("redis_observer_unanswered_commands_total"))
	assert.Equal(t, n, s.value("redis_observer_unanswered_commands_total", "name=default", "reason=server_closed"))
	assertExact(t, s)
}

func TestServerKilledWithCommandsOutstanding(t *testing.T) {
	t.Parallel()
	t.Run("blocked", func(t *testing.T) {
		r := mustRedis(t)
		o := mustObserver(t, observing(r.Port))
		const clients = 12
		for i := range clients {
			c := mustDial(t, r.Address())
			c.mustDo("SET", "key", "value")
			c.mustSend(request("BLPOP", fmt.Sprint("empty", i), "0"))
		}
		mustDial(t, r.Address()).mustDo("GET", "key") // this one has nothing outstanding
		o.mustSee("blocked connections in use", func(s snapshot) bool {
			return s.value("redis_pool_connections", "name=default", "state=in_use") == clients
		})
		r.mustKill()
		assertUnanswered(t, o, "blpop", clients)
	})
	t.Run("stopped before it reads", func(t *testing.T) {
		r := mustRedis(t)
		o := mustObserver(t, observing(r.Port))
		const clients, pipeline = 10, 7
		var all []*client
		for range clients {
			c := mustDial(t, r.Address())
			c.mustDo("SET", "key", "value")
			all = append(all, c)
		}
		r.mustSignal(syscall.SIGSTOP)
		for _, c := range all {
			c.mustSend(repeat(pipeline, "GET", "key"))
		}
		time.Sleep(100 * time.Millisecond)
		r.mustKill()
		for _, c := range all {
			assert.Error(t, c.receive(1))
		}
		assertUnanswered(t, o, "get", clients*pipeline)
	})
	t.Run("half answered", func(t *testing.T) {
		r := mustRedis(t)
		o := mustObserver(t, observing(r.Port))
		c := mustDial(t, r.Address())
		c.mustSend(repeat(5, "GET", "key"), request("BLPOP", "empty", "0"))
		c.mustReceive(5)
		r.mustKill()
		assertUnanswered(t, o, "blpop", 1)
		assert.Equal(t, 5, o.mustScrape().value("redis_commands_total", "name=default", "command=get", "status=success"))
	})
}
