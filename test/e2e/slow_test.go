package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/redis-observer/redis-observer/internal/report"
	"github.com/redis-observer/redis-observer/test/kit"
)

// pause is how long a slow command takes at least, and slowFrom what counts as slow. A busy machine may make others slow, too.
const (
	pause    = 300 * time.Millisecond
	slowFrom = 250 * time.Millisecond
)

// secret is in each key and value of the traffic, and in nothing else.
const secret = "s3cr3t"

// beSlow makes commands slow in some ways, on a connection of each, and returns the addresses of their clients by way.
func beSlow(t *testing.T, port int) map[string]string {
	t.Helper()
	ctx, clients := context.Background(), map[string]string{}
	on := func(way string, do func(c *goredis.Conn)) {
		client := goredis.NewClient(&goredis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port), DisableIdentity: true, Protocol: 2, MaxRetries: -1})
		defer client.Close()
		c := client.Conn()
		defer c.Close()
		info, err := c.ClientInfo(ctx).Result()
		require.NoError(t, err)
		clients[way] = info.Addr
		do(c)
	}
	busy := fmt.Sprintf(`local e = redis.call('time'); repeat local n = redis.call('time') until (n[1] - e[1]) * 1000000 + n[2] - e[2] > %d; `, pause.Microseconds())
	on("alone", func(c *goredis.Conn) { require.NoError(t, c.Do(ctx, "DEBUG", "SLEEP", pause.Seconds()).Err()) })
	on("error", func(c *goredis.Conn) {
		require.Error(t, c.Eval(ctx, busy+`return redis.error_reply('WRONGTYPE '..KEYS[1])`, []string{secret + "key"}, secret+"value").Err())
	})
	on("pipeline", func(c *goredis.Conn) {
		p := c.Pipeline()
		p.Set(ctx, secret+"a", secret+"b", 0)
		p.Do(ctx, "DEBUG", "SLEEP", pause.Seconds())
		p.Get(ctx, secret+"a")
		p.Incr(ctx, secret+"a") // fails
		_, err := p.Exec(ctx)
		require.Error(t, err)
	})
	on("transaction", func(c *goredis.Conn) {
		_, err := c.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			p.Set(ctx, secret+"c", secret+"d", 0)
			p.Eval(ctx, busy+`return ARGV[1]`, nil, secret+"e")
			return nil
		})
		require.NoError(t, err)
	})
	on("blocking", func(c *goredis.Conn) {
		require.ErrorIs(t, c.Do(ctx, "BLPOP", secret+"list", pause.Seconds()).Err(), goredis.Nil)
	})
	on("fast", func(c *goredis.Conn) { require.NoError(t, c.Get(ctx, secret+"a").Err()) })
	return clients
}

// mustSlow returns the slow commands of an observer by the address of their client, when there are so many.
func mustSlow(t *testing.T, o *observer, role string, clients int) (view report.Slow, commands map[string][]report.SlowCommand, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		response, err := http.Get(o.URL("/slow"))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		text, view, commands = string(body), report.Slow{}, map[string][]report.SlowCommand{}
		if err != nil || json.Unmarshal(body, &view) != nil {
			return false
		}
		for _, c := range view.Commands {
			at := c.Local
			if role == "server" {
				at = c.Peer
			}
			commands[at] = append(commands[at], c)
		}
		return len(commands) >= clients
	}, settled, 50*time.Millisecond)
	return view, commands, text
}

// openToAll has an observer listen on all addresses of the machine. Its file begins with the address.
func openToAll(t *testing.T) func(command *exec.Cmd) {
	return func(command *exec.Cmd) {
		text, err := os.ReadFile(command.Args[2])
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(command.Args[2], []byte(strings.Replace(string(text), "127.0.0.1", "0.0.0.0", 1)), 0o600))
	}
}

// What was slow is shown with its place, whose it was and how it ended, at both ends, and nothing of what it said.
func TestSlowCommands(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			server := mustRedis(t, "--enable-debug-command", "yes")
			o := mustObserver(t, fmt.Sprintf("ports: []\nendpoints:\n  - name: sessions\n    addresses: ['127.0.0.1:%d']\n    role: %s\nslow_commands: {size: 128, threshold: %s}\nmetrics: {labels: [process_executable_name]}\n", server.Port, role, slowFrom))
			program := os.Args[0]
			if role == "server" {
				program = fmt.Sprintf("/proc/%d/exe", server.PID())
			}
			executable, err := filepath.EvalSymlinks(program)
			require.NoError(t, err)
			process := filepath.Base(executable)
			began := time.Now()
			clients := beSlow(t, server.Port)
			view, commands, text := mustSlow(t, o, role, 4)
			seen := uint64(0)
			for _, g := range view.Groups {
				seen += g.Count
				assert.Equal(t, "sessions", g.Name)
				assert.WithinRange(t, g.First, began.Add(-time.Second), g.Last)
				assert.GreaterOrEqual(t, g.Typical(), slowFrom)
				assert.GreaterOrEqual(t, g.Of, g.Count)
				if theMachine().backend != "packet" {
					assert.Equal(t, process, g.Process)
				}
			}
			assert.Equal(t, view.Seen, seen, "each is in one sum")
			want := map[string]string{
				"alone":    "debug success 1/1",
				"error":    "eval error WRONGTYPE 1/1",
				"pipeline": "set success 1/4, debug success 2/4, get success 3/4, incr error ERR 4/4",
				// MULTI is answered with the others: all were written at once.
				"transaction": "multi success 1/4, set success 2/4 multi, eval success 3/4 multi, exec success 4/4",
			}
			for way, want := range want {
				place := map[uint32]string{}
				for _, c := range commands[clients[way]] {
					place[c.Position] = fmt.Sprintf("%s %s %s", c.Command, c.Result(), c.Place())
					assert.GreaterOrEqual(t, c.Duration(), pause, way)
					assert.Less(t, c.Duration(), time.Since(began), way)
					assert.WithinRange(t, c.Time, began.Add(-time.Second), time.Now(), way)
					assert.Equal(t, "sessions", c.Name)
					assert.Equal(t, role, c.Role)
					assert.Equal(t, clients[way]+fmt.Sprintf(" 127.0.0.1:%d", server.Port), map[string]string{"client": c.Local + " " + c.Peer, "server": c.Peer + " " + c.Local}[role])
					assert.Equal(t, commands[clients[way]][0].Time, c.Time, "they were sent at once")
					if theMachine().backend != "packet" {
						assert.Equal(t, process, c.Process)
					}
					assert.Positive(t, c.RequestBytes, c.Command)
				}
				var got []string
				for i := range uint32(4) {
					if place[i+1] != "" {
						got = append(got, place[i+1])
					}
				}
				assert.Equal(t, want, strings.Join(got, ", "), way)
			}
			assert.Empty(t, commands[clients["blocking"]])
			assert.NotContains(t, text, secret)
		})
	}
}

// They are shown in a terminal and in a browser, if not everybody could see them there.
func TestSlowCommandsAreShown(t *testing.T) {
	t.Parallel()
	server := mustRedis(t, "--enable-debug-command", "yes")
	o := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: sessions, addresses: ['127.0.0.1:%d']}]\nslow_commands: {size: 128, threshold: %s}\n", server.Port, slowFrom))
	clients := beSlow(t, server.Port)
	mustSlow(t, o, "client", 4)
	w := mustTerminal(t, 150, 45, raceBinary, "top", o.URL(""), "--interval", "500ms")
	w.mustShow(`(?m)^\? help`)
	w.must("send-keys", "s")
	screen := w.mustShow(`(?m)^\d\d:\d\d:\d\d +sessions +incr +\S+s +error ERR +4/4 `)
	assert.Contains(t, screen, " commands took 250ms or longer since ")
	assert.Regexp(t, `(?m)^sessions +debug\S* +[1-9]\d* of [1-9]\d* +\d\d:\d\d:\d\d +\d\d:\d\d:\d\d +\S+s +\S+s +\d+%`, screen, "the sums")
	assert.NotContains(t, screen, secret)
	w.must("send-keys", "q")

	document, log := mustBrowse(t, o.URL("/"))
	assert.Regexp(t, `<td class="text">incr</td><td class="text whose"></td><td class="">\S+s</td><td class="text bad">error ERR</td><td class="wide">4/4</td>`, document)
	assert.Contains(t, document, clients["pipeline"])
	assert.Regexp(t, `<td class="text">sessions</td><td class="text">debug\S*</td><td class="text whose"></td><td class="">[1-9]\d* of [1-9]\d*</td><td class="">\d\d:\d\d:\d\d</td>`, document, "the sums")
	assert.NotContains(t, document, secret)
	assert.NotContains(t, log, "Content Security Policy")
	assert.NotContains(t, log, "Uncaught")
}

// Who may see addresses is asked: without authentication nobody may, with it whoever has it.
func TestSlowCommandsAreGuarded(t *testing.T) {
	t.Parallel()
	server := mustRedis(t, "--enable-debug-command", "yes")
	web := filepath.Join(t.TempDir(), "web.yaml")
	require.NoError(t, os.WriteFile(web, []byte("basic_auth_users: {}\n"), 0o600))
	config := fmt.Sprintf("ports: []\nendpoints: [{name: sessions, addresses: ['127.0.0.1:%d']}]\nslow_commands: {size: 128, threshold: %s}\nweb_config: %s\n", server.Port, slowFrom, web)
	o := mustPreparedObserver(t, raceBinary, config, openToAll(t))
	beSlow(t, server.Port)
	ask := func(path, password string) (int, string) {
		request, err := http.NewRequest(http.MethodGet, o.URL(path), nil)
		require.NoError(t, err)
		if password != "" {
			request.SetBasicAuth("me", password)
		}
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	const why = "commands show addresses, so they are not served: anybody who reaches the endpoint could read it (set basic_auth_users"
	status, body := ask("/slow", "")
	assert.Equal(t, http.StatusNotFound, status)
	assert.Contains(t, body, why)
	for _, path := range []string{"/", "/live.json"} {
		_, body = ask(path, "")
		assert.Contains(t, body, why)
		assert.NotContains(t, body, fmt.Sprint("127.0.0.1:", server.Port))
	}
	assert.Contains(t, o.Log(), "slow commands are not served")
	top := func(more ...string) string {
		command := exec.Command(raceBinary, append([]string{"top", o.URL(""), "--slow", "--once", "--interval", "100ms"}, more...)...)
		command.Env = kit.Environment()
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)
		return string(output)
	}
	assert.Contains(t, top(), why)

	hash, err := bcrypt.GenerateFromPassword([]byte("password"), bcrypt.MinCost)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(web, fmt.Appendf(nil, "basic_auth_users: {me: %s}\n", hash), 0o600))
	status, _ = ask("/slow", "")
	assert.Equal(t, http.StatusUnauthorized, status)
	status, body = ask("/slow", "password")
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, fmt.Sprint("127.0.0.1:", server.Port))
	client := filepath.Join(t.TempDir(), "client.yaml")
	require.NoError(t, os.WriteFile(client, []byte("basic_auth: {username: me, password: password}\n"), 0o600))
	assert.Regexp(t, `sessions +debug\S* +\S+s +success +1/1 `, top("--http-config", client))
}
