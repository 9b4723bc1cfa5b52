package conformance

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit"
)

// quiet is well over the pause after which an idle connection is synced.
const quiet = 500 * time.Millisecond

// testGaps passes bytes that a probe cannot read: they are not in user memory, or it does not know where. They must be
// accounted for, and the connection must be synced again afterwards.
func testGaps(t *testing.T, o *observer, server *redisServer) {
	type passing struct {
		name string
		pass func(*testing.T, *client)
	}
	tests := []passing{
		{"sendfile", sendFile},
		{"splice to the socket", spliceRequest},
		{"splice from the socket", spliceReply},
		{"discarded reply", discardReply},
	}
	if o.backend == "tracepoint" {
		tests = append(tests, passing{"io_uring", receiveThroughUring})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := mustConnect(t, server.Port, "127.0.0.1", plain)
			c.mustCall(t, "PING")
			before := o.mustScrape(t)
			test.pass(t, c)
			// The next command shows what was missed even to a backend that did not see the call; it may be a victim of the gap.
			c.mustCall(t, "PING")
			eventually(t, func() bool {
				after := o.mustScrape(t)
				return after.Sum("redis_observer_gap_bytes_total") > before.Sum("redis_observer_gap_bytes_total")
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

func mustPipe(t *testing.T) (reader, writer int) {
	t.Helper()
	var ends [2]int
	require.NoError(t, unix.Pipe2(ends[:], unix.O_CLOEXEC))
	t.Cleanup(func() { unix.Close(ends[0]) })
	t.Cleanup(func() { unix.Close(ends[1]) })
	return ends[0], ends[1]
}

func spliceRequest(t *testing.T, c *client) {
	reader, writer := mustPipe(t)
	content := request("PING")
	_, err := unix.Write(writer, content)
	require.NoError(t, err)
	n, err := unix.Splice(reader, nil, c.fd, nil, len(content), 0)
	require.NoError(t, err)
	require.EqualValues(t, len(content), n)
	require.Equal(t, "PONG", c.mustReply(t))
}

func spliceReply(t *testing.T, c *client) {
	reader, writer := mustPipe(t)
	_, err := c.Write(request("PING"))
	require.NoError(t, err)
	var reply [len("+PONG\r\n")]byte
	n, err := unix.Splice(c.fd, nil, writer, nil, len(reply), 0)
	require.NoError(t, err)
	require.EqualValues(t, len(reply), n)
	_, err = unix.Read(reader, reply[:])
	require.NoError(t, err)
	require.Equal(t, "+PONG\r\n", string(reply[:]))
}

func receiveThroughUring(t *testing.T, c *client) {
	c.way = ringed
	require.Equal(t, "PONG", c.mustCall(t, "PING"))
	c.way = plain
}

// testLateReceive has io_uring receive a reply while its thread is on the way back from a read of something else, which
// returned what looks like another reply. The registers that the probe of a receive can see are those of that read.
func testLateReceive(t *testing.T, o *observer, server *redisServer) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := mustConnect(t, server.Port, "127.0.0.1", plain)
	r, err := openUring() // its own, because work is done by the thread that gave it
	require.NoError(t, err)
	defer unix.Close(r.fd)
	before := o.mustScrape(t)
	reader, writer := mustPipe(t)
	reply, read := make([]byte, len("+PONG\r\n")), make([]byte, len("-ERRX\r\n"))
	require.NoError(t, r.submit(uringReceive, c.fd, reply))
	_, ended, _ := r.result()
	require.False(t, ended, "a reply before the request")
	_, err = c.Write(request("PING"))
	require.NoError(t, err)
	time.AfterFunc(quiet, func() { unix.Write(writer, []byte("-ERRX\r\n")) })
	for n := 0; n == 0; {
		n, err = unix.Read(reader, read)
		require.True(t, err == nil || errors.Is(err, unix.EINTR), "%v", err)
	}
	n, err := r.wait()
	require.NoError(t, err)
	require.Equal(t, "+PONG\r\n", string(reply[:n]))
	c.close()
	var counts map[string]count
	eventually(t, func() bool {
		after := o.mustScrape(t)
		counts = observed(before, after, server.role)
		return counts["ping"] == count{calls: 1} || after.Sum("redis_observer_gap_bytes_total") > before.Sum("redis_observer_gap_bytes_total")
	}, "the reply was neither seen nor accounted for")
	if o.backend == "tracepoint" {
		assert.Zero(t, counts["ping"].errors, "what the other read returned was taken for the reply")
	} else {
		assert.Equal(t, count{calls: 1}, counts["ping"])
	}
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
	require.True(t, kit.Wait(patience/3, condition), append([]any{message}, arguments...)...)
}
