package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// ending is a way in which a connection ends with a command outstanding, what is counted of it then, and as what at either end.
type ending struct {
	name           string
	connections    int
	run            func(t *testing.T, r *redis, c *client)
	commands       counts // that each connection makes count
	client, server string // the reason of what was outstanding, "" if nothing was
	errors         int    // of them, at the client's end
}

var endings = []ending{
	{
		name: "QUIT without its reply", connections: 100, client: "client_closed",
		run:      func(_ *testing.T, _ *redis, c *client) { c.mustSend(request("QUIT")); c.mustClose() },
		commands: counts{"quit": 1},
	},
	{
		name: "a worker that is stopped", connections: 25, client: "client_closed", server: "client_closed",
		run: func(_ *testing.T, r *redis, c *client) {
			c.mustSend(request("BRPOP", "empty", "0"))
			r.mustBlock(c)
			c.mustClose()
		},
		commands: counts{"brpop": 1},
	},
	{
		name: "a worker that resets", connections: 10, client: "client_closed", server: "client_closed",
		run: func(_ *testing.T, r *redis, c *client) {
			c.mustSend(request("BRPOP", "empty", "0"))
			r.mustBlock(c)
			c.mustReset()
		},
		commands: counts{"brpop": 1},
	},
	{
		name: "UNSUBSCRIBE", connections: 50, client: "client_closed",
		run: func(_ *testing.T, _ *redis, c *client) {
			c.mustSend(request("SUBSCRIBE", "channel"))
			c.mustReceive(1)
			c.mustSend(request("UNSUBSCRIBE"))
			c.mustClose()
		},
		commands: counts{"subscribe": 1, "unsubscribe": 1},
	},
	{
		name: "replies that nobody reads", connections: 4, client: "client_closed",
		run: func(_ *testing.T, _ *redis, c *client) {
			c.mustSend(repeat(100, "SET", "key", "value"))
			c.mustHold(100 * len("+OK\r\n"))
			c.mustClose()
		},
		commands: counts{"set": 100},
	},
	{
		name: "served behind a command that blocks", connections: 1, client: "client_closed",
		run: func(t *testing.T, r *redis, c *client) {
			c.mustSend(repeat(2, "BLPOP", "list", "0"))
			r.mustBlock(c)
			r.mustControl("RPUSH", "list", "1")
			r.mustControl("RPUSH", "list", "2")
			c.mustHold(2 * len("*2\r\n$4\r\nlist\r\n$1\r\n1\r\n"))
			c.mustClose()
		},
		commands: counts{"blpop": 2},
	},
	{
		name: "half-closed, and the server closes", connections: 5, client: "server_closed", server: "client_closed", errors: 1,
		run: func(t *testing.T, r *redis, c *client) {
			c.mustSend(request("BRPOP", "empty", "0"))
			r.mustBlock(c)
			require.NoError(t, c.CloseWrite())
			require.Error(t, c.receive(1))
			c.mustClose()
		},
		commands: counts{"brpop": 1},
	},
	{
		name: "killed by the server", connections: 5, client: "server_closed", server: "server_closed", errors: 1,
		run: func(t *testing.T, r *redis, c *client) {
			c.mustSend(request("BRPOP", "empty", "0"))
			r.mustBlock(c)
			r.mustControl("CLIENT", "KILL", c.LocalAddr().String())
			require.Error(t, c.receive(1))
		},
		commands: counts{"brpop": 1},
	},
	{
		name: "ended by neither end", connections: 3, client: "network", server: "client_closed", errors: 1,
		run: func(t *testing.T, r *redis, c *client) {
			c.mustSend(request("BRPOP", "empty", "0"))
			r.mustBlock(c)
			port := strconv.Itoa(c.LocalAddr().(*net.TCPAddr).Port)
			output, err := exec.Command("ss", "--kill", "--tcp", "--numeric", "sport", "=", ":"+port).CombinedOutput()
			require.NoError(t, err, "%s", output)
			if strings.Contains(string(output), "not permitted") { // which is no failure to ss
				skip(t, "needs CAP_NET_ADMIN to end a connection")
			}
			require.ErrorIs(t, c.receive(1), unix.ECONNABORTED)
		},
		commands: counts{"brpop": 1},
	},
}

// mustBlock waits until a command of the client blocks: everything before it was executed.
func (r *redis) mustBlock(c *client) {
	r.tb.Helper()
	blocked := regexp.MustCompile(`(?m)^.* addr=` + regexp.QuoteMeta(c.LocalAddr().String()) + ` .* flags=\w*b.*$`)
	require.Eventually(r.tb, func() bool { return blocked.MatchString(r.mustControl("CLIENT", "LIST")) }, patience, 5*time.Millisecond, "no command blocks")
}

// mustHold waits until so many bytes can be read.
func (c *client) mustHold(bytes int) {
	c.tb.Helper()
	raw, err := c.SyscallConn()
	require.NoError(c.tb, err)
	require.Eventually(c.tb, func() bool {
		held := 0
		failure := raw.Control(func(fd uintptr) { held, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
		return failure == nil && err == nil && held >= bytes
	}, patience, 5*time.Millisecond, "%d bytes do not come", bytes)
}

func (c *client) mustClose() {
	c.tb.Helper()
	require.NoError(c.tb, c.Close())
}

// seenByPackets is what packets show of an ending, wherever they are captured: what they show the server. They do not show that a program
// left a reply unread, that it still reads after its FIN, nor who had the kernel send a reset.
func (e *ending) seenByPackets() {
	e.client, e.errors = e.server, 0
	if e.server == "server_closed" {
		e.errors = 1
	}
}

// What the client gave up by closing raised nothing: it is no error, at either end. What the other end or the network broke is one.
func TestEndings(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	atClient := mustObserver(t, observing(r.Port))
	atServer := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: default, role: server, addresses: [\"*:%d\"]}]\n", r.Port))
	for _, e := range endings {
		broken := e.client == "network"
		if byPackets() {
			e.seenByPackets()
		}
		t.Run(e.name, func(t *testing.T) {
			if _, err := exec.LookPath("ss"); err != nil && broken {
				skip(t, "ss is not installed, which ends connections")
			}
			before := []snapshot{atClient.mustScrape(), atServer.mustScrape()}
			for range e.connections {
				c := mustDial(t, r.Address())
				e.run(t, r, c)
				_ = c.Close() // most have
			}
			e.assertCounted(t, atClient, before[0], e.client, e.errors)
			errors := 0
			if e.server == "server_closed" {
				errors = 1
			}
			e.assertCounted(t, atServer, before[1], e.server, errors)
		})
	}
}

func (e *ending) assertCounted(t *testing.T, o *observer, before snapshot, reason string, errors int) {
	t.Helper()
	want := counts{}
	for command, n := range e.commands {
		want[command] = n * e.connections
	}
	s := o.mustSee("the end of all connections", func(s snapshot) bool {
		return s.value("redis_observer_tracked_connections") == 0 && s.commands("default").since(before.commands("default")).total() >= want.total()
	})
	assert.Equal(t, want, s.commands("default").since(before.commands("default")))
	assert.Equal(t, errors*e.connections, s.sum("redis_commands_total", "status=error")-before.sum("redis_commands_total", "status=error"))
	const unanswered = "redis_observer_unanswered_commands_total"
	left := s.sum(unanswered) - before.sum(unanswered)
	if reason == "" {
		assert.Zero(t, left)
	} else {
		assert.NotZero(t, left)
		assert.Equal(t, left, s.sum(unanswered, "reason="+reason)-before.sum(unanswered, "reason="+reason))
	}
	assertExact(t, s)
}

// A program that is killed gives up what it waited for.
func TestKilledClientIsNoError(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port))
	command := exec.Command("redis-cli", "-p", strconv.Itoa(r.Port), "BRPOP", "empty", "0")
	require.NoError(t, command.Start())
	o.mustSeePool("default", 0, 1)
	require.NoError(t, command.Process.Kill())
	_ = command.Wait() // it was killed
	s := o.mustSee("the command", func(s snapshot) bool { return s.sum("redis_commands_total", "command=brpop") == 1 })
	assert.Equal(t, 1, s.value("redis_observer_unanswered_commands_total", "name=default", "reason=client_closed"))
	assert.Zero(t, s.sum("redis_commands_total", "status=error"))
	assertExact(t, s)
}

// A loop that blocks, such as a worker's, is counted after one wait that was seen whole, at either end.
func TestLoopOlderThanTheObserver(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	c := mustDial(t, r.Address())
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		for c.send(request("BRPOP", "empty", "1")) == nil && c.receive(1) == nil {
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	atClient := mustObserver(t, observing(r.Port))
	atServer := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: default, role: server, addresses: [\"*:%d\"]}]\n", r.Port))
	for _, o := range []*observer{atClient, atServer} {
		s := o.mustSee("two rounds", func(s snapshot) bool { return s.sum("redis_commands_total", "command=brpop", "status=success") >= 2 })
		assert.LessOrEqual(t, s.value("redis_observer_unpaired_commands_total", "name=default", "reason=mid_stream"), 2)
	}
}
