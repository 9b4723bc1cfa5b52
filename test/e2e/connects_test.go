package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// statistic returns a number of INFO stats.
func (r *redis) statistic(name string) int {
	r.tb.Helper()
	for line := range strings.Lines(r.mustControl("INFO", "stats")) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+":"); found {
			n, err := strconv.Atoi(value)
			require.NoError(r.tb, err)
			return n
		}
	}
	require.FailNow(r.tb, "no statistic", name)
	return 0
}

// closedBy returns the connections that were closed, by whom.
func (s snapshot) closedBy() counts {
	closed := counts{}
	for _, by := range []string{"client", "server", "network"} {
		if n := s.sum("redis_connections_closed_total", "by="+by); n > 0 {
			closed[by] = n
		}
	}
	return closed
}

// bothEnds runs a test for an observer of either end of a server's connections.
func bothEnds(t *testing.T, test func(t *testing.T, r *redis, o *observer)) {
	t.Helper()
	for end, config := range map[string]func(port int) string{
		"client": func(port int) string { return observing(port) },
		"server": serving,
	} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			r := mustRedis(t)
			test(t, r, mustObserver(t, config(r.Port)+roomy))
		})
	}
}

// What was opened is what the server says that it received, however short the connections are, and all
// of them are closed in the end, by the ends that closed them.
func TestOpenedIsWhatTheServerReceived(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, r *redis, o *observer) {
		before := r.statistic("total_connections_received")
		mustBenchmark(t, r, 2000, 1)
		const workers, rounds = 8, 100
		var group sync.WaitGroup
		failures := make(chan error, workers*rounds)
		for range workers {
			group.Go(func() {
				for i := range rounds {
					failures <- comeAndLeave(r.Address(), i%4)
				}
			})
		}
		group.Wait()
		close(failures)
		for err := range failures {
			require.NoError(t, err)
		}
		// The client of mustControl is one of the connections over a Unix socket.
		received := r.statistic("total_connections_received") - before - 1
		require.Greater(t, received, workers*rounds)
		s := o.mustSee("all ends", func(s snapshot) bool {
			return s.sum("redis_connections_closed_total") == s.sum("redis_connections_opened_total") && s.sum("redis_connections_opened_total") >= received
		})
		assert.Equal(t, received, s.sum("redis_connections_opened_total"))
		closed := s.closedBy()
		assert.Equal(t, workers*rounds/4, closed["server"], "those that said QUIT")
		assert.Equal(t, received-workers*rounds/4, closed["client"])
		assert.Zero(t, closed["network"])
		assertExact(t, s)
	})
}

// comeAndLeave is a short connection, which ends in one of four ways.
func comeAndLeave(address string, way int) error {
	c, err := dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	switch way {
	case 0: // without a word
		return nil
	case 1:
		return errors.Join(c.send(request("QUIT")), c.receive(1), readEnd(c))
	case 2:
		return errors.Join(c.send(request("PING")), c.receive(1), c.Abort())
	default:
		return errors.Join(c.send(request("PING")), c.receive(1), c.CloseWrite(), readEnd(c))
	}
}

// readEnd reads the other end's close.
func readEnd(c *client) error {
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		return fmt.Errorf("read %d bytes where the end was to come", n)
	}
	return nil
}

// Who closed, at both ends, in each way that connections end in practice.
func TestClosedBy(t *testing.T) {
	t.Parallel()
	bothEnds(t, func(t *testing.T, r *redis, o *observer) {
		older := counts{} // all that was closed before
		closes := func(what, by string, close func(c *client)) {
			t.Helper()
			c := mustDial(t, r.Address())
			c.mustDo("PING")
			close(c)
			older[by]++
			s := o.mustSee(what, func(s snapshot) bool { return s.sum("redis_connections_closed_total") >= older.total() })
			assert.Equal(t, older, s.closedBy(), what)
		}
		closes("the client closes", "client", func(c *client) { require.NoError(t, c.Close()) })
		closes("the client resets", "client", func(c *client) { c.mustReset() })
		closes("the client says that it sends no more", "client", func(c *client) {
			require.NoError(t, c.CloseWrite())
			require.NoError(t, readEnd(c))
		})
		closes("the client goes with replies unread", "client", func(c *client) {
			c.mustSend(request("PING"))
			time.Sleep(50 * time.Millisecond)
			require.NoError(t, c.Close())
		})
		closes("another client kills it", "server", func(c *client) {
			require.Equal(t, "1", r.mustControl("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
			require.NoError(t, readEnd(c))
		})
		closes("the server quits at its request", "server", func(c *client) {
			c.mustDo("QUIT")
			require.NoError(t, readEnd(c))
		})
		other := exec.Command("redis-cli", "-p", strconv.Itoa(r.Port), "BLPOP", "none", "0")
		require.NoError(t, other.Start())
		o.mustSee("a client of another process", func(s snapshot) bool { return s.sum("redis_pool_connections", "state=in_use") == 1 })
		require.NoError(t, other.Process.Signal(syscall.SIGKILL))
		_ = other.Wait() // killed
		older["client"]++
		assert.Equal(t, older, o.mustSee("the end of a killed client", func(s snapshot) bool { return s.sum("redis_connections_closed_total") >= older.total() }).closedBy())
		closes("the server is killed", "server", func(c *client) {
			r.mustKill()
			require.NoError(t, readEnd(c))
		})
	})
}

// Connects and ends that only a network can cause. It runs in a network namespace of its own, by
// running this program again, so that packets are seen there too.
func TestConnects(t *testing.T) {
	if os.Getenv(builtVariable) == "" {
		t.Parallel()
		runElsewhere(t, "TestConnects")
		return
	}
	mustRaiseLoopback(t)
	mustFar(t)
	port := mustPort(t)
	o := mustObserver(t, observing(port))
	failed := counts{}
	fails := func(reason, host string, cause error, dialer net.Dialer) {
		t.Helper()
		_, err := dialer.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		require.Error(t, err, reason)
		if cause != nil {
			require.ErrorIs(t, err, cause, reason)
		}
		failed[reason]++
	}
	short := net.Dialer{Timeout: 200 * time.Millisecond}
	impatient := net.Dialer{Control: func(_, _ string, socket syscall.RawConn) error {
		var fault error
		return errors.Join(socket.Control(func(fd uintptr) {
			fault = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1)
		}), fault)
	}}
	fails("refused", "127.0.0.1", unix.ECONNREFUSED, net.Dialer{})
	fails("refused", refusing, unix.ECONNREFUSED, net.Dialer{})
	fails("gave_up", silent, nil, short)
	fails("timed_out", silent, unix.ETIMEDOUT, impatient)
	fails("unreachable", unreachable, unix.EHOSTUNREACH, net.Dialer{})
	fails("reset", symmetric, unix.ECONNRESET, net.Dialer{})

	const connections = 5
	var open []*client
	for range connections {
		open = append(open, mustDial(t, net.JoinHostPort(slow, strconv.Itoa(port))))
	}
	mustSet(t, "ipv4/ip_local_port_range", "40000 40001")
	for range 2 {
		open = append(open, mustDial(t, net.JoinHostPort(slow, strconv.Itoa(port))))
	}
	fails("no_port", slow, unix.EADDRNOTAVAIL, net.Dialer{})
	failed["no_port"] += 2 // Go tries this three times
	mustSet(t, "ipv4/ip_local_port_range", "32768 60999")

	if byPackets() {
		failed = counts{"refused": failed["refused"]}
		for _, c := range open { // a connection that carries nothing may be the copy of another one
			c.mustSend(request("PING"))
		}
	}
	s := o.mustSee("all connects", func(s snapshot) bool {
		return s.sum("redis_connections_opened_total") >= len(open) && s.sum("redis_connect_failures_total") >= failed.total()
	})
	for reason, n := range failed {
		assert.Equal(t, n, s.sum("redis_connect_failures_total", "reason="+reason), reason)
	}
	assert.Equal(t, failed.total(), s.sum("redis_connect_failures_total"))
	assert.Equal(t, len(open), s.sum("redis_connections_opened_total"))
	assert.Equal(t, len(open), s.sum("redis_connect_duration_seconds"))
	families, err := o.Families()
	require.NoError(t, err)
	took := families["redis_connect_duration_seconds"].GetMetric()[0].GetHistogram().GetSampleSum() / float64(len(open))
	assert.GreaterOrEqual(t, took, answerDelay.Seconds())
	assert.Less(t, took, (answerDelay + 20*time.Millisecond).Seconds(), "the mean")
	assert.Zero(t, s.sum("redis_connections_closed_total"))
	if byPackets() {
		return // a connection on which nothing passes any more does not end
	}

	// The network takes nothing that this end sends.
	mustOption(t, open[0].TCPConn, unix.TCP_USER_TIMEOUT, 300)
	open[0].mustSend(request("PING"))
	_, err = open[0].Read(make([]byte, 1))
	require.ErrorIs(t, err, unix.ETIMEDOUT)
	s = o.mustSee("the end of a connection", func(s snapshot) bool { return s.sum("redis_connections_closed_total") > 0 })
	assert.Equal(t, counts{"network": 1}, s.closedBy())
}

// A program that cannot connect counts under its own labels.
func TestLabelsOfFailedConnects(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "packets do not show who has a connection")
	unit := mustCgroup(t, "system.slice/lonely.service")
	port := mustPort(t)
	o := mustObserver(t, observing(port)+withLabels)
	for range 3 {
		require.Error(t, inCgroup(unit, mustProgramNamed(t, "lonely"), "-p", strconv.Itoa(port), "PING").Run())
	}
	const attempts = 3 * 2 // redis-cli tries twice
	s := o.mustSee("the failures", func(s snapshot) bool { return s.sum("redis_connect_failures_total") >= attempts })
	assert.Equal(t, attempts, s.sum("redis_connect_failures_total", "reason=refused", "process_executable_name=lonely", "systemd_unit=lonely.service"))
	assert.Equal(t, attempts, s.sum("redis_connect_failures_total"))
}
