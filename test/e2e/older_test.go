package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A connection may be silent because of a CLIENT REPLY OFF that the observer did not see. Then its replies are one off: that is counted, and ends.
func TestSilenceAskedForBeforeTheObserver(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	c := mustDial(t, r.Address())
	c.mustSend(request("CLIENT", "REPLY", "OFF")) // in the same tick of the kernel as the handshake, which the server ended
	o := mustObserver(t, observing(r.Port))
	time.Sleep(250 * time.Millisecond)
	c.mustSend(request("SET", "a", "1"))
	time.Sleep(60 * time.Millisecond)
	c.mustDo("CLIENT", "REPLY", "ON")
	rounds := func(n int) {
		for range n {
			time.Sleep(60 * time.Millisecond)
			c.mustDo("LPUSH", "a", "x") // fails
			time.Sleep(60 * time.Millisecond)
			c.mustDo("SET", "a", "1")
		}
	}
	rounds(5)
	time.Sleep(500 * time.Millisecond) // so that the last of them is counted
	before := o.mustSee("what may be wrong", func(s snapshot) bool { return s.sum("redis_observer_unpaired_commands_total") > 0 })

	const n = 10
	rounds(n)
	after := o.mustSee("what came after", func(s snapshot) bool {
		return s.commands("default").since(before.commands("default"))["set"] >= n
	})
	assert.Equal(t, before.losses(), after.losses(), "synced")
	assert.Equal(t, counts{"set": n, "lpush": n}, after.commands("default").since(before.commands("default")))
	errors := func(command string) int {
		return after.value("redis_command_errors_total", "name=default", "command="+command) - before.value("redis_command_errors_total", "name=default", "command="+command)
	}
	assert.Equal(t, []int{n, 0}, []int{errors("lpush"), errors("set")})
}
