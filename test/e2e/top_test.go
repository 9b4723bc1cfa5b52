package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// terminal is a window of tmux with one program in it.
type terminal struct {
	tb     testing.TB
	socket string
}

// mustTerminal runs a command in a window.
func mustTerminal(tb testing.TB, width, height int, command ...string) *terminal {
	tb.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		skip(tb, "needs tmux (test/install.sh terminal)")
	}
	w := &terminal{tb, filepath.Join(tb.TempDir(), "tmux")}
	start := []string{"-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height), "-e", "LC_ALL=C.UTF-8", "--"}
	w.must(append(start, command...)...)
	tb.Cleanup(func() { _, _ = w.do("kill-server") }) // it has ended with its program, if all is well
	return w
}

func (w *terminal) do(arguments ...string) (string, error) {
	command := exec.Command("tmux", append([]string{"-u", "-S", w.socket}, arguments...)...)
	command.Env = kit.Environment()
	output, err := command.CombinedOutput()
	return string(output), err
}

func (w *terminal) must(arguments ...string) string {
	w.tb.Helper()
	output, err := w.do(arguments...)
	require.NoError(w.tb, err, output)
	return output
}

// mustShow waits until the screen matches an expression, and returns it.
func (w *terminal) mustShow(expression string) string {
	w.tb.Helper()
	return w.mustShowWithin(settled, expression)
}

func (w *terminal) mustShowWithin(d time.Duration, expression string) string {
	w.tb.Helper()
	screen := ""
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var err error
		if screen, err = w.do("capture-pane", "-p"); err == nil && regexp.MustCompile(expression).MatchString(screen) {
			return screen
		}
	}
	require.FailNow(w.tb, "not on the screen: "+expression, "%s", screen)
	return ""
}

// use sends a GET to a server and an LPUSH that fails until the test ends.
func use(t *testing.T, port int) {
	db := goredis.NewClient(&goredis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port), DisableIdentity: true})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			db.Set(ctx, "secret-key", "secret-value", 0)
			db.LPush(ctx, "secret-key", "x")
			db.Get(ctx, "secret-key")
			time.Sleep(60 * time.Millisecond) // by a pause of 50 the observer finds its place in a connection that is older than itself
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
		_ = db.Close()
	})
}

// A person sees the commands of real traffic in a real terminal.
func TestTop(t *testing.T) {
	t.Parallel()
	server := mustRedis(t)
	o := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: sessions, addresses: ['127.0.0.1:%d']}]\n", server.Port))
	use(t, server.Port)
	w := mustTerminal(t, 100, 16, raceBinary, "top", o.URL(""), "--interval", "500ms")
	screen := w.mustShow(`(?m)^sessions +get +[1-9]\d* .* +\d/\d$`)
	assert.Regexp(t, `(?m)^sessions +lpush +[1-9][\d.]* +[1-9][\d.]* `, screen, "its errors")
	assert.Regexp(t, `Every number since \d\d:\d\d:\d\d is exact`, screen)
	assert.NotContains(t, screen, "secret")
	w.must("send-keys", "n")
	w.mustShow(`(?m)^sessions +[1-9]\d* +[1-9]`)
	w.must("send-keys", "a", "/", "lpu")
	screen = w.mustShow(`filter: lpu▏`)
	assert.NotRegexp(t, `sessions +get`, screen)
	w.must("send-keys", "Escape")
	w.mustShow(`(?m)^\? help`) // before the next key: Escape and a key at once are another one
	w.must("send-keys", "?")
	w.mustShow(`q ctrl\+c +end`)
	w.must("send-keys", "?")
	w.must("resize-window", "-x", "50", "-y", "12")
	for line := range strings.Lines(w.mustShow(`(?m)^sessions +get .*µs|ms|s$`)) {
		assert.LessOrEqual(t, len([]rune(strings.TrimSpace(line))), 50)
	}
	w.must("send-keys", "C-c")
	require.Eventually(t, func() bool { _, err := w.do("list-sessions"); return err != nil }, settled, 50*time.Millisecond, "Ctrl-C ends it")
}

// Without a running observer it observes by itself, and leaves nothing behind.
func TestTopAttaches(t *testing.T) {
	t.Parallel()
	RequireObserver(t)
	server := mustRedis(t)
	use(t, server.Port)
	command := exec.Command(raceBinary, "top", "--attach", "--ports", fmt.Sprint(server.Port), "--once", "--interval", "1s", "--output", "json")
	command.Env = append(kit.Environment(), "REDIS_OBSERVER_DEFAULT_NAME=attached")
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	var view struct {
		Nodes []struct{ Node, Backend string }
		Rows  []struct {
			Name, Command string
			Rate          float64
		}
	}
	require.NoError(t, json.Unmarshal(output, &view), "%s", output)
	rates := map[string]float64{}
	for _, row := range view.Rows {
		rates[row.Name+" "+row.Command] = row.Rate
	}
	assert.Positive(t, rates["attached get"], "%s", output)
	assert.Equal(t, theMachine().backend, view.Nodes[0].Backend)
	_, err = net.Dial("tcp", view.Nodes[0].Node)
	assert.Error(t, err, "its observer has ended")

	command = exec.Command(raceBinary, "top", "--attach", "--backend", "none", "--ports", "x", "--once")
	output, err = command.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(output), "observe: load configuration:\n")
	assert.Contains(t, string(output), "--backend: capture.backend: unknown value")
	assert.Contains(t, string(output), "--ports: ports[0]: must be a whole number")
}

// However top ends, its observer ends too: it must not stay with its probes.
func TestTopLeavesNoObserver(t *testing.T) {
	t.Parallel()
	RequireObserver(t)
	// As it is shipped, because a change of user clears the parent-death signal.
	for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			command := exec.Command(shippedBinary, "top", "--attach", "--ports", fmt.Sprint(mustPort(t)), "--interval", "100ms", "--output", "json")
			output, err := command.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, command.Start())
			var view struct{ Nodes []struct{ Node string } }
			require.NoError(t, json.NewDecoder(output).Decode(&view))
			conn, err := net.Dial("tcp", view.Nodes[0].Node)
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			require.NoError(t, command.Process.Signal(signal))
			_ = command.Wait() // killed
			require.Eventually(t, func() bool {
				conn, err := net.Dial("tcp", view.Nodes[0].Node)
				if err == nil {
					_ = conn.Close()
				}
				return err != nil
			}, settled, 50*time.Millisecond)
		})
	}
}
