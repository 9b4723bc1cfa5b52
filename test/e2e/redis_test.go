package e2e

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// redis is a running redis-server.
type redis struct {
	tb testing.TB
	*kit.Redis
}

// mustRedis starts a redis-server on a port of 127.0.0.1, unless the arguments say otherwise, and waits until it answers.
func mustRedis(tb testing.TB, arguments ...string) *redis {
	tb.Helper()
	RequireObserver(tb)
	server, err := kit.StartRedis(mustPort(tb), arguments...)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, server.Stop()) })
	return &redis{tb, server}
}

// mustKill ends the server without a farewell.
func (r *redis) mustKill() {
	r.tb.Helper()
	require.NoError(r.tb, r.Stop())
}

func (r *redis) mustSignal(signal syscall.Signal) {
	r.tb.Helper()
	require.NoError(r.tb, r.Signal(signal))
}

// mustControl runs a command over the Unix socket and returns the text of its reply.
func (r *redis) mustControl(arguments ...string) string {
	r.tb.Helper()
	reply, err := r.Control(arguments...)
	require.NoError(r.tb, err)
	return reply.Text
}

func (r *redis) mustResetStats() {
	r.tb.Helper()
	require.NoError(r.tb, r.ResetStats())
}

// mustStats returns what the server counted since mustResetStats, by label, without what only measures.
func (r *redis) mustStats() counts {
	r.tb.Helper()
	calls, err := r.Calls()
	require.NoError(r.tb, err)
	c := make(counts)
	for label, count := range calls {
		c[label] = int(count.Calls)
	}
	return c
}
