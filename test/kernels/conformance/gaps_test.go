package conformance

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// quiet is well over the pause after which an idle connection is known to be in step.
const quiet = 500 * time.Millisecond

// testGaps sends what is not in user memory, or throws away what it receives: no probe can read that. It must be accounted
// for, and the connection must be in step again afterwards.
func testGaps(t *testing.T, o *observer, server *redisServer) {
	for _, test := range []struct {
		name string
		pass func(*testing.T, *client)
	}{
		{"sendfile", sendFile},
		{"discarded reply", discardReply},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := mustConnect(t, server.port, "127.0.0.1", plain)
			c.mustCall(t, "PING")
			before := o.mustScrape(t)
			test.pass(t, c)
			// The next command shows what was missed even to a backend that did not see the call; it may be a victim of the gap.
			c.mustCall(t, "PING")
			eventually(t, func() bool {
				after := o.mustScrape(t)
				return after.sum("redis_observer_gap_bytes_total") > before.sum("redis_observer_gap_bytes_total")
			}, "the gap is not accounted for")
			time.Sleep(quiet)
			compare(t, o, server, func(t *testing.T) {
				for range 10 {
					assert.Equal(t, "PONG", c.mustCall(t, "PING"))
				}
			})
		})
	}
}

func sendFile(t *testing.T, c *client) {
	path := filepath.Join(t.TempDir(), "request")
	content := request("SET", "file", "value")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	n, err := unix.Sendfile(c.fd, int(file.Fd()), nil, len(content))
	require.NoError(t, err)
	require.Equal(t, len(content), n)
	require.Equal(t, "OK", c.mustReply(t))
}

func discardReply(t *testing.T, c *client) {
	_, err := c.Write(request("PING"))
	require.NoError(t, err)
	var reply [len("+PONG\r\n")]byte
	n, _, err := unix.Recvfrom(c.fd, reply[:], unix.MSG_TRUNC|unix.MSG_WAITALL)
	require.NoError(t, err)
	require.Equal(t, len(reply), n)
	require.Zero(t, reply, "the kernel copied what was to be discarded")
}

func eventually(t *testing.T, condition func() bool, message string, arguments ...any) {
	t.Helper()
	for deadline := time.Now().Add(patience / 3); !condition(); time.Sleep(20 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), append([]any{message}, arguments...)...)
	}
}
