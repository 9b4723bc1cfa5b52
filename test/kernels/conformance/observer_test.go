package conformance

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/test/kit"
)

// patience is how long anything may take, in a guest whose CPU is emulated.
const patience = 30 * time.Second

// observer is a running redis-observer.
type observer struct {
	backend string
	*kit.Observer
}

// mustStartObserver starts it behind the words of another command, if any are given, that becomes the observer.
func mustStartObserver(t *testing.T, binary, backend string, servers []*redisServer, under ...string) *observer {
	t.Helper()
	started, err := kit.StartObserver(kit.ObserverOptions{
		Program: binary, Port: mustFreePort(t), Configuration: configuration(backend, servers),
		Prepare: func(command *exec.Cmd) {
			if len(under) > 0 {
				*command = *exec.Command(under[0], append(under[1:], command.Args...)...)
			}
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = started.Process.Stop(unix.SIGKILL) // most tests have stopped it
		assert.NoError(t, started.Clean())
		if t.Failed() {
			t.Logf("observer:\n%s", started.Log())
		}
	})
	return &observer{backend, started}
}

func configuration(backend string, servers []*redisServer) string {
	var text strings.Builder
	fmt.Fprintf(&text, "capture: {backend: %s}\nports: []\nendpoints:\n", backend)
	for _, s := range servers {
		fmt.Fprintf(&text, "  - {name: %s, addresses: [%q], role: %s}\n", s.role, s.address(), s.role)
	}
	return text.String()
}

func (o *observer) mustScrape(t *testing.T) kit.Samples {
	t.Helper()
	samples, err := o.Scrape()
	require.NoError(t, err)
	return samples
}

func mustFreePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "[::]:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
