package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// pathClient is a connection over a Unix socket.
type pathClient struct {
	tb testing.TB
	*net.UnixConn
	replies *bufio.Reader
}

func mustDialPath(tb testing.TB, path string) *pathClient {
	tb.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	return &pathClient{tb, conn, bufio.NewReader(conn)}
}

// mustDo sends requests in one write, and reads a reply for each.
func (c *pathClient) mustDo(requests []byte, replies int) {
	c.tb.Helper()
	_, err := c.Write(requests)
	require.NoError(c.tb, err)
	for range replies {
		_, err := resp.Read(c.replies)
		require.NoError(c.tb, err)
	}
}

// observingPath returns a configuration that observes only one end of the connections over paths.
func observingPath(role string, paths ...string) string {
	return fmt.Sprintf("ports: []\nendpoints: [{name: path, addresses: [%s], role: %s}]\n", `"unix:`+strings.Join(paths, `", "unix:`)+`"`, role)
}

// pathCommands returns what was counted over Unix sockets, without the control of the server, which
// uses the same path.
func (s snapshot) pathCommands() counts {
	c := s.commands("path")
	for _, label := range []string{"info", "config_resetstat", "other"} {
		delete(c, label)
	}
	return c
}

func (o *observer) assertPath(want counts) {
	o.tb.Helper()
	s := o.mustSee(fmt.Sprintf("%d commands over the path", want.total()), func(s snapshot) bool {
		return s.pathCommands().total() >= want.total()
	})
	assert.Equal(o.tb, want, s.pathCommands())
	assertExact(o.tb, s)
}

func mustTool(tb testing.TB, name string, arguments ...string) {
	tb.Helper()
	output, err := exec.Command(name, arguments...).CombinedOutput()
	require.NoError(tb, err, "%s", output)
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			r := mustRedis(t)
			before := mustDialPath(t, r.Socket)
			before.mustDo(request("PING"), 1)
			o := mustObserver(t, observingPath(role, r.Socket)+roomy)
			o.mustSeePool("path", 1, 0)
			r.mustResetStats()
			time.Sleep(200 * time.Millisecond) // silence, after which a request is a boundary

			before.mustDo(request("SET", "key", "value"), 1)
			before.mustDo(repeat(100, "GET", "key"), 100)
			before.mustDo(request("SET", "long", strings.Repeat("x", 1<<20)), 1)
			before.mustDo(request("GET", "long"), 1)
			mustTool(t, "redis-cli", "-s", r.Socket, "INCR", "counter")
			mustTool(t, "redis-benchmark", "-s", r.Socket, "-q", "-c", "20", "-n", "5000", "-t", "get,set,lpush")
			mustTool(t, "redis-benchmark", "-s", r.Socket, "-q", "-c", "20", "-P", "16", "-n", "16000", "-t", "get,incr")
			for range 1000 {
				c := mustDialPath(t, r.Socket)
				c.mustDo(request("ECHO", "short"), 1)
				require.NoError(t, c.Close())
			}
			o.assertPath(r.mustStats())
			o.mustSeePool("path", 1, 0)
		})
	}
}

// A client that says that it will send no more may still read.
func TestUnixSocketHalfClosed(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "half.sock")
			listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			require.NoError(t, err)
			defer listener.Close()
			o := mustObserver(t, observingPath(role, path)+roomy)
			c := mustDialPath(t, path)
			server, err := listener.AcceptUnix()
			require.NoError(t, err)
			_, err = c.Write(repeat(3, "GET", "key"))
			require.NoError(t, err)
			require.NoError(t, c.CloseWrite())
			buffer := make([]byte, 4096)
			for n := 1; n > 0; {
				n, _ = server.Read(buffer)
			}
			_, err = server.Write([]byte("$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"))
			require.NoError(t, err)
			require.NoError(t, server.Close())
			for n := 1; n > 0; {
				n, _ = c.Read(buffer)
			}
			o.assertPath(counts{"get": 3})
			o.mustSeePool("path", 0, 0)
		})
	}
}

// servePath binds a path, and answers each request of one connection after the other with a null,
// until the returned function is called.
func servePath(tb testing.TB, path string) (stop func()) {
	tb.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(tb, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 4096)
			for {
				n, err := conn.Read(buffer)
				if err != nil || n == 0 {
					break
				}
				if _, err := conn.Write([]byte("$-1\r\n")); err != nil {
					break
				}
			}
			_ = conn.Close()
		}
	}()
	return func() {
		_ = listener.Close()
		<-done
	}
}

// A server that removes its socket and binds it again is followed at once; another socket of the
// machine is not observed. An abstract name has no file.
func TestUnixSocketBoundAgain(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	folder := t.TempDir()
	path, abstract, other := filepath.Join(folder, "redis.sock"), "@"+folder, filepath.Join(folder, "other.sock")
	defer servePath(t, other)()
	for _, role := range []string{"client", "server"} {
		o := mustObserver(t, observingPath(role, path, abstract)+roomy)
		for round := range 3 {
			for i, name := range []string{path, abstract, other} {
				stop := func() {}
				if name != other {
					stop = servePath(t, name)
				}
				c := mustDialPath(t, name)
				c.mustDo(request("GET", "key"), 1)
				require.NoError(t, c.Close())
				stop()
				o.assertPath(counts{"get": 2*round + min(i+1, 2)})
			}
			o.mustSeePool("path", 0, 0)
		}
		o.mustStop(syscall.SIGTERM)
	}
}

// A reload changes the observed paths, connections over a new one included.
func TestUnixSocketReload(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	first, second := mustRedis(t), mustRedis(t)
	a, b := mustDialPath(t, first.Socket), mustDialPath(t, second.Socket)
	a.mustDo(request("PING"), 1)
	b.mustDo(request("PING"), 1)
	o := mustObserver(t, observingPath("client", first.Socket)+roomy)
	o.mustSeePool("path", 1, 0)
	time.Sleep(200 * time.Millisecond)
	a.mustDo(request("GET", "key"), 1)
	b.mustDo(request("GET", "key"), 1)
	o.assertPath(counts{"get": 1})
	o.mustConfigure(observingPath("client", second.Socket) + roomy)
	time.Sleep(2 * time.Second)
	o.mustSeePool("path", 1, 0)
	a.mustDo(repeat(7, "GET", "key"), 7)
	b.mustDo(request("SET", "key", "value"), 1)
	o.assertPath(counts{"get": 1, "set": 1})
}

// The goroutines of go-redis share a pool, and pipeline.
func TestUnixSocketGoRedis(t *testing.T) {
	t.Parallel()
	RequireProbes(t, "Unix sockets have no packets")
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			r := mustRedis(t)
			o := mustObserver(t, observingPath(role, r.Socket)+roomy)
			r.mustResetStats()
			db := goredis.NewClient(&goredis.Options{
				Network: "unix", Addr: r.Socket, PoolSize: 10, DisableIdentity: true,
				MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
			})
			var group sync.WaitGroup
			for range 50 {
				group.Go(func() {
					for i := range 100 {
						assert.NoError(t, db.Set(t.Context(), "key", i, 0).Err())
						_, err := db.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
							p.Incr(t.Context(), "counter")
							p.Get(t.Context(), "key")
							return nil
						})
						assert.NoError(t, err)
					}
				})
			}
			group.Wait()
			want := r.mustStats()
			o.assertPath(want)
			require.NoError(t, db.Close())
			o.mustSeePool("path", 0, 0)
		})
	}
}
