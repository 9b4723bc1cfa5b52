package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Nobody reads the end of a connection both ends of which are killed: a look at the sockets finds it gone.
func TestUnixSocketBothEndsKilled(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "redis.sock")
			server := exec.Command("redis-server", "--port", "0", "--unixsocket", path, "--save", "")
			require.NoError(t, server.Start())
			defer func() { _ = server.Process.Kill() }()
			require.Eventually(t, func() bool {
				conn, err := net.Dial("unix", path)
				if err != nil {
					return false
				}
				return conn.Close() == nil
			}, 10*time.Second, 20*time.Millisecond)
			var clients []*exec.Cmd
			start := func() {
				for range 5 {
					c := exec.Command("redis-cli", "-s", path, "BLPOP", "empty", "0")
					require.NoError(t, c.Start())
					clients = append(clients, c)
				}
			}
			start()
			time.Sleep(500 * time.Millisecond)
			o := mustObserver(t, observingPath(role, path)+roomy)
			available, inUse := o.mustScrape().pool("path")
			assert.Equal(t, 5, available+inUse, "the first scrape has the connections that exist already")
			start()
			o.mustSee("10 connections", func(s snapshot) bool {
				available, inUse := s.pool("path")
				return available+inUse == 10
			})
			// All stop first, so that none of them runs when the other end is gone.
			for _, c := range append(clients, server) {
				require.NoError(t, c.Process.Signal(unix.SIGSTOP))
			}
			for _, c := range append(clients, server) {
				require.NoError(t, c.Process.Kill())
				_ = c.Wait()
			}
			o.mustSeePool("path", 0, 0)
			assert.Zero(t, o.mustScrape().value("redis_observer_lost_connections_total"))
		})
	}
}

// pathPair returns both ends of a connection over a path.
func pathPair(t *testing.T, path string) (client, server *net.UnixConn) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	defer listener.Close()
	client, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	server, err = listener.AcceptUnix()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

func mustPass(t *testing.T, from, to *net.UnixConn, message []byte) {
	t.Helper()
	_, err := from.Write(message)
	require.NoError(t, err)
	buffer := make([]byte, len(message))
	for n := 0; n < len(message); {
		more, err := to.Read(buffer[n:])
		require.NoError(t, err)
		n += more
	}
	require.Equal(t, message, buffer)
}

// /var/run is /run, whichever of them the server or the configuration names.
func TestUnixSocketInOldFolder(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	name := fmt.Sprintf("redis-observer-test-%d.sock", os.Getpid())
	for from, to := range map[string]string{"/var/run/": "/run/", "/run/": "/var/run/"} {
		stop := servePath(t, from+name)
		o := mustObserver(t, observingPath("client", to+name)+roomy)
		c := mustDialPath(t, from+name)
		c.mustDo(request("GET", "key"), 1)
		require.NoError(t, c.Close())
		stop()
		o.assertPath(counts{"get": 1})
		o.mustStop(unix.SIGTERM)
	}
}

// What splice() receives is a gap, because no probe of the tracepoints sees it, and the connection
// recovers.
func TestUnixSocketSpliced(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "spliced.sock")
			o := mustObserver(t, observingPath(role, path)+roomy)
			client, server := pathPair(t, path)
			ping, pong := request("PING"), []byte("+PONG\r\n")
			for range 10 {
				mustPass(t, client, server, ping)
				mustPass(t, server, client, pong)
			}
			splice := func(from, to *net.UnixConn, message []byte) {
				_, err := from.Write(message)
				require.NoError(t, err)
				mustControl(t, to, func(fd int) error {
					mustSplice(t, fd, len(message))
					return nil
				})
			}
			if role == "server" {
				splice(client, server, ping)
				mustPass(t, server, client, pong)
			} else {
				mustPass(t, client, server, ping)
				splice(server, client, pong)
			}
			for range 10 {
				time.Sleep(2 * quietPause)
				mustPass(t, client, server, ping)
				mustPass(t, server, client, pong)
			}
			accounted := func(s snapshot) int {
				return s.commands("path").total() + s.sum("redis_observer_unpaired_commands_total")
			}
			s := o.mustSee("21 commands, counted or said to be lost", func(s snapshot) bool { return accounted(s) >= 21 })
			assert.Equal(t, 21, accounted(s))
			assert.Positive(t, s.sum("redis_observer_gaps_total"))
			assert.Greater(t, s.commands("path").total(), 12)
		})
	}
}

// The other end has closed behind its reply. A receive of no bytes finds that, and still the reply counts, which MSG_TRUNC does not
// discard over Unix sockets.
func TestUnixSocketEmptyReceive(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	path := filepath.Join(t.TempDir(), "empty.sock")
	o := mustObserver(t, observingPath("client", path)+roomy)
	client, server := pathPair(t, path)
	mustPass(t, client, server, request("GET", "key"))
	reply := []byte("$-1\r\n")
	_, err := server.Write(reply)
	require.NoError(t, err)
	require.NoError(t, server.Close())
	mustControl(t, client, func(fd int) error {
		n, _, err := unix.Recvfrom(fd, nil, 0)
		assert.Zero(t, n)
		return err
	})
	received := make([]byte, len(reply))
	mustControl(t, client, func(fd int) error {
		_, _, err := unix.Recvfrom(fd, received, unix.MSG_TRUNC)
		return err
	})
	assert.Equal(t, reply, received)
	require.NoError(t, client.Close())
	o.mustSeePool("path", 0, 0)
	o.assertPath(counts{"get": 1})
	assert.Zero(t, o.mustScrape().sum("redis_commands_total", "status=error"))
}

// The last byte of a send with MSG_OOB is no part of the stream that the other end receives.
func TestUnixSocketUrgent(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "urgent.sock")
			o := mustObserver(t, observingPath(role, path)+roomy)
			client, server := pathPair(t, path)
			for range 20 {
				mustControl(t, client, func(fd int) error {
					err := unix.Sendto(fd, []byte("x"), unix.MSG_OOB, nil)
					if err == unix.EOPNOTSUPP {
						t.Skip("the kernel has no MSG_OOB for Unix sockets")
					}
					return err
				})
				mustPass(t, client, server, request("PING"))
				mustPass(t, server, client, []byte("+PONG\r\n"))
			}
			o.assertPath(counts{"ping": 20})
		})
	}
}

// Sockets of messages count by their kind, and nothing of them is read.
func TestUnixSocketSeqpacket(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "messages.sock")
			o := mustObserver(t, observingPath(role, path)+roomy)
			listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
			require.NoError(t, err)
			defer listener.Close()
			client, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
			require.NoError(t, err)
			server, err := listener.AcceptUnix()
			require.NoError(t, err)
			for range 5 {
				mustPass(t, client, server, request("PING"))
				mustPass(t, server, client, []byte("+PONG\r\n"))
			}
			s := o.mustSee("its kind", func(s snapshot) bool { return s.value("redis_observer_connections_total", "kind=seqpacket") > 0 })
			assert.Equal(t, 1, s.value("redis_observer_connections_total", "kind=seqpacket"))
			assert.Empty(t, s.commands("path"))
			require.NoError(t, client.Close())
			_, err = server.Read(make([]byte, 10))
			require.Error(t, err)
			require.NoError(t, server.Close())
			o.mustSee("its end", func(s snapshot) bool { return s.value("redis_observer_tracked_connections") == 0 })
		})
	}
}
