package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// mustRedisOn starts a server whose Unix socket has a path, removed and bound again if it is there.
func mustRedisOn(tb testing.TB, path string) *redis {
	tb.Helper()
	server, err := kit.StartServerOn(exec.Command("redis-server"), mustPort(tb), path)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, server.Stop()) })
	return &redis{tb, server}
}

// pathLoad is traffic over a path whose clients connect again when the server goes. Each client has one batch outstanding.
type pathLoad struct {
	path          string
	sent, replied atomic.Int64 // commands
	stop          atomic.Bool
	running       sync.WaitGroup
}

func (l *pathLoad) start(clients int) {
	for i := range clients {
		batch, replies := request("GET", "key"), 1
		if i%2 == 1 {
			batch, replies = repeat(16, "GET", "key"), 16
		}
		l.running.Go(func() {
			for !l.stop.Load() {
				if conn, err := net.Dial("unix", l.path); err == nil {
					l.use(conn, batch, replies)
				}
				time.Sleep(time.Millisecond) // the server may be gone
			}
		})
	}
}

// use sends batches until the server goes or a hundred are answered, and leaves the connection.
func (l *pathLoad) use(conn net.Conn, batch []byte, replies int) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(settled)) // a server that accepts no more never answers
	reader := bufio.NewReader(conn)
	for range 100 {
		if l.stop.Load() {
			return
		}
		if n, err := conn.Write(batch); n < len(batch) || err != nil {
			return // a batch is in one piece of memory: all of it is taken, or nothing
		}
		l.sent.Add(int64(replies))
		for range replies {
			if _, err := resp.Read(reader); err != nil {
				return
			}
			l.replied.Add(1)
		}
		time.Sleep(200 * time.Microsecond) // all tests share two CPUs
	}
}

func (l *pathLoad) finish() {
	l.stop.Store(true)
	l.running.Wait()
}

// A server that is killed and binds its path again, under load: each command has its reply, or an end by the server.
func TestUnixSocketServerRestarts(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	path := filepath.Join(t.TempDir(), "redis.sock")
	client, server := mustObserver(t, observingPath("client", path)+roomy), mustObserver(t, observingPath("server", path)+roomy)
	l := pathLoad{path: path}
	l.start(6)
	defer l.finish()
	for range 4 {
		r := mustRedisOn(t, path)
		for begin := l.replied.Load(); l.replied.Load() < begin+3000; time.Sleep(time.Millisecond) {
			require.True(t, r.Running(), "%s", r.Output)
		}
		require.NoError(t, r.Process.Stop(syscall.SIGKILL)) // its socket stays in the folder
	}
	l.finish()
	sent, replied := int(l.sent.Load()), int(l.replied.Load())

	client.mustSeePool("path", 0, 0)
	s := client.mustSee("each command", func(s snapshot) bool {
		return s.sum("redis_commands_total")+s.sum("redis_observer_unexecuted_commands_total") >= sent
	})
	broken := s.sum("redis_observer_unanswered_commands_total")
	assert.Equal(t, replied, s.sum("redis_commands_total", "status=success"), "commands with a reply")
	assert.Equal(t, sent-replied, broken+s.sum("redis_observer_unexecuted_commands_total"), "commands that ended with the server")
	assert.Equal(t, broken, s.sum("redis_commands_total", "status=error"))
	assert.Zero(t, s.sum("redis_observer_unanswered_commands_total", "reason=client_closed"), "every client waited")
	assert.Empty(t, s.losses().since(counts{series("redis_observer_unexecuted_commands_total"): s.sum("redis_observer_unexecuted_commands_total")}))

	server.mustSeePool("path", 0, 0)
	s = server.mustScrape()
	assert.GreaterOrEqual(t, s.sum("redis_commands_total"), replied, "commands that the server read")
	assert.LessOrEqual(t, s.sum("redis_commands_total"), sent)
	assert.Empty(t, s.losses().since(counts{series("redis_observer_unexecuted_commands_total"): s.sum("redis_observer_unexecuted_commands_total")}))
}

// Both ends are killed with a command outstanding, so neither makes a call that finds the other gone.
func TestUnixSocketProcessesKilled(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			const clients = 3
			r := mustRedisOn(t, filepath.Join(t.TempDir(), "redis.sock"))
			o := mustObserver(t, observingPath(role, r.Socket)+roomy)
			var programs []*exec.Cmd
			for range clients {
				program := exec.Command("redis-cli", "-s", r.Socket, "BLPOP", "empty", "0")
				require.NoError(t, program.Start())
				programs = append(programs, program)
			}
			o.mustSeePool("path", 0, clients)
			r.mustSignal(syscall.SIGSTOP) // it reads no end of the stream
			for _, program := range programs {
				require.NoError(t, program.Process.Kill())
				require.Error(t, program.Wait())
			}
			require.NoError(t, r.Process.Stop(syscall.SIGKILL))
			o.mustSeePool("path", 0, 0)
			s := o.mustSee("no connection", func(s snapshot) bool { return s.sum("redis_observer_tracked_connections") == 0 })
			assert.Equal(t, clients, s.commands("path")["blpop"])
			assert.Empty(t, s.losses())
		})
	}
}

// A client that has its last reply and leaves behind the server makes no call that finds the end either.
func TestUnixSocketLeftBehindTheServer(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			const connections = 10
			r := mustRedisOn(t, filepath.Join(t.TempDir(), "redis.sock"))
			o := mustObserver(t, observingPath(role, r.Socket)+roomy)
			for i := range connections {
				c := mustDialPath(t, r.Socket)
				_, err := c.Write(append(request("GET", "key"), request("QUIT")...))
				require.NoError(t, err)
				time.Sleep(20 * time.Millisecond) // the server answers and closes
				if i%2 == 0 {                     // nobody reads that it has closed
					_, err = io.ReadFull(c, make([]byte, len("$-1\r\n+OK\r\n")))
					require.NoError(t, err)
				}
				require.NoError(t, c.Close())
			}
			o.mustSeePool("path", 0, 0)
			o.assertPath(counts{"get": connections, "quit": connections})
		})
	}
}

// Other Unix sockets of the machine are busy, with the same protocol, and with names that are almost the same.
func TestUnixSocketNeighbours(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	folder := t.TempDir()
	path := filepath.Join(folder, "redis.sock")
	for _, name := range []string{path + "2", filepath.Join(folder, "redis.soc"), "@" + path, filepath.Join(folder, "..", filepath.Base(folder), "redis.sock3")} {
		defer servePath(t, name)()
		l := pathLoad{path: name}
		l.start(1) // servePath serves one
		defer l.finish()
	}
	stop := mustBusyPair(t)
	defer stop()
	for _, role := range []string{"client", "server"} {
		r := mustRedisOn(t, path)
		o := mustObserver(t, observingPath(role, path)+roomy)
		for range 50 {
			c := mustDialPath(t, path)
			c.mustDo(repeat(20, "GET", "key"), 20)
			require.NoError(t, c.Close())
		}
		o.assertPath(counts{"get": 1000})
		s := o.mustScrape()
		assert.Equal(t, 50, s.sum("redis_observer_connections_total"), "connections of any kind")
		require.NoError(t, r.Process.Stop(syscall.SIGTERM))
	}
}

// mustBusyPair has a pair of sockets without a name exchange what looks like commands.
func mustBusyPair(tb testing.TB) (stop func()) {
	tb.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(tb, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			if n, err := syscall.Read(fds[1], buffer); n <= 0 || err != nil {
				return
			}
			if _, err := syscall.Write(fds[1], []byte("$-1\r\n")); err != nil {
				return
			}
		}
	}()
	var over atomic.Bool
	go func() {
		buffer := make([]byte, 4096)
		for !over.Load() {
			_, _ = syscall.Write(fds[0], request("GET", "key"))
			_, _ = syscall.Read(fds[0], buffer)
			time.Sleep(200 * time.Microsecond)
		}
		_ = syscall.Close(fds[0])
	}()
	return func() {
		over.Store(true)
		<-done
		_ = syscall.Close(fds[1])
	}
}

// The server of a container binds its path in a mount namespace and a network namespace of its own. Its clients reach the socket by
// another path, or in the container by the same; the path as bound is the one that is configured.
func TestUnixSocketOfAContainer(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			c := mustContainer(t)
			before := mustDialPath(t, c.outside)
			before.mustDo(request("PING"), 1)
			o := mustObserver(t, observingPath(role, c.inside)+roomy)
			available, inUse := o.mustScrape().pool("path")
			assert.Equal(t, []int{1, 0}, []int{available, inUse}, "first scrape")
			time.Sleep(200 * time.Millisecond) // silence, after which a request is a boundary
			before.mustDo(repeat(10, "GET", "key"), 10)
			for range 20 {
				c := mustDialPath(t, c.outside)
				c.mustDo(repeat(10, "GET", "key"), 10)
				require.NoError(t, c.Close())
			}
			mustTool(t, "nsenter", "--mount", "--target", fmt.Sprint(c.PID()), "redis-cli", "-s", c.inside, "SET", "key", "value")
			o.assertPath(counts{"get": 210, "set": 1})
			o.mustSeePool("path", 1, 0)
			require.NoError(t, c.Stop(syscall.SIGKILL))
			o.mustSeePool("path", 0, 0)
		})
	}
}

// container is a server in namespaces of its own.
type container struct {
	*kit.Process
	inside, outside string // paths of its socket
}

// mustContainer starts a server in a new mount namespace and a new network namespace. The folder of its socket is a file system that
// is mounted there alone.
func mustContainer(tb testing.TB) *container {
	tb.Helper()
	if err := unshareable(); err != nil {
		skip(tb, "needs CAP_SYS_ADMIN to make a mount namespace: "+err.Error())
	}
	folder := tb.TempDir()
	c := &container{inside: filepath.Join(folder, "redis.sock")}
	command := exec.Command("unshare", "--mount", "--net", "sh", "-c",
		`mount -t tmpfs none "$0" && exec redis-server --port 0 --unixsocket "$0/redis.sock" --dir "$0" --save ""`, folder)
	var err error
	c.Process, err = kit.Start(command, func() bool {
		c.outside = fmt.Sprintf("/proc/%d/root%s", command.Process.Pid, c.inside)
		conn, err := net.Dial("unix", c.outside)
		return err == nil && conn.Close() == nil
	})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Stop(syscall.SIGKILL) }) // the test may have stopped it
	_, err = os.Stat(c.inside)
	require.ErrorIs(tb, err, os.ErrNotExist, "the path is the container's own")
	return c
}

// A send fails because the server has closed, while its reply is there to be received: the reply counts.
func TestUnixSocketSendBehindTheEnd(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	path := filepath.Join(t.TempDir(), "behind.sock")
	o := mustObserver(t, observingPath("client", path)+roomy)
	for range 5 {
		client, server := pathPair(t, path)
		_, err := client.Write(request("GET", "key"))
		require.NoError(t, err)
		_, err = server.Read(make([]byte, 100))
		require.NoError(t, err)
		_, err = server.Write([]byte("$-1\r\n"))
		require.NoError(t, err)
		require.NoError(t, server.Close())
		_, err = client.Write(request("SET", "key", "value"))
		require.ErrorIs(t, err, syscall.EPIPE)
		_, err = client.Read(make([]byte, 100))
		require.NoError(t, err)
		require.NoError(t, client.Close())
	}
	o.mustSeePool("path", 0, 0)
	o.assertPath(counts{"get": 5})
	assert.Zero(t, o.mustScrape().sum("redis_commands_total", "status=error"))
}
