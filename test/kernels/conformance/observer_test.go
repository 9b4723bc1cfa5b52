package conformance

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long anything may take, in a guest whose processor is emulated.
const patience = 30 * time.Second

// observer is a running redis-observer.
type observer struct {
	backend string
	command *exec.Cmd
	address string
	log     *bytes.Buffer // read it after the process has ended
	ended   chan error
}

// mustStartObserver starts it behind the words of another command, if any are given, that becomes the observer.
func mustStartObserver(t *testing.T, binary, backend string, servers []*redisServer, under ...string) *observer {
	t.Helper()
	o := &observer{backend: backend, address: fmt.Sprintf("127.0.0.1:%d", mustFreePort(t)), log: new(bytes.Buffer), ended: make(chan error, 1)}
	path := filepath.Join(t.TempDir(), "observer.yaml")
	require.NoError(t, os.WriteFile(path, []byte(o.configuration(backend, servers)), 0o600))
	words := append(under, binary, "--config", path)
	o.command = exec.Command(words[0], words[1:]...)
	o.command.Stderr = o.log
	require.NoError(t, o.command.Start())
	go func() { o.ended <- o.command.Wait() }()
	t.Cleanup(func() {
		o.command.Process.Kill() // an error says that it has ended
		if t.Failed() {
			t.Logf("observer:\n%s", o.log)
		}
	})
	o.mustBeReady(t)
	return o
}

func (o *observer) configuration(backend string, servers []*redisServer) string {
	var text strings.Builder
	fmt.Fprintf(&text, "listen: %q\ncapture: {backend: %s}\nports: []\nendpoints:\n", o.address, backend)
	for _, s := range servers {
		fmt.Fprintf(&text, "  - {name: %s, addresses: [\"*:%d\"], role: %s}\n", s.role, s.port, s.role)
	}
	return text.String()
}

func (o *observer) mustBeReady(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-o.ended:
			o.ended <- err
			require.FailNow(t, "the observer ended", "%v\n%s", err, o.log)
		default:
		}
		response, err := http.Get("http://" + o.address + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		require.True(t, time.Now().Before(deadline), "the observer is not ready: %v", err)
	}
}

// sample is the value of each series, by its name with labels as the text format writes them.
type sample map[string]float64

func (o *observer) mustScrape(t *testing.T) sample {
	t.Helper()
	response, err := http.Get("http://" + o.address + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	series := make(sample)
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		space := strings.LastIndexByte(line, ' ')
		if space < 0 || line[0] == '#' {
			continue
		}
		value, err := strconv.ParseFloat(line[space+1:], 64)
		require.NoError(t, err, "%s", line)
		series[line[:space]] = value
	}
	return series
}

// sum adds up the series of a family whose labels contain all of the given texts.
func (s sample) sum(family string, labels ...string) float64 {
	var sum float64
series:
	for name, value := range s {
		if !strings.HasPrefix(name, family+"{") && name != family {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(name, label) {
				continue series
			}
		}
		sum += value
	}
	return sum
}

// losses are the counters that say that something is missing; those that are zero are left out.
func (s sample) losses() sample {
	losses := make(sample)
	for name, value := range s {
		broken := strings.HasPrefix(name, "redis_observer_gaps_total") && strings.Contains(name, `effect="broken"`)
		for _, family := range []string{"capture_lost_events", "unpaired_commands", "held_overflow", "evicted_connections", "lost_connections"} {
			broken = broken || strings.HasPrefix(name, "redis_observer_"+family+"_total")
		}
		if broken && value != 0 {
			losses[name] = value
		}
	}
	return losses
}

func mustFreePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "[::]:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
