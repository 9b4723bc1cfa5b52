package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/lookup/lookuptest"
)

// withNameserver makes an observer resolve host names at a server of 127.0.0.0/8. The file is
// mounted in a mount namespace of its own.
func withNameserver(tb testing.TB, address string) func(*exec.Cmd) {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "resolv.conf")
	require.NoError(tb, os.WriteFile(file, fmt.Appendf(nil, "nameserver %s\noptions timeout:1\n", address), 0o644))
	return func(c *exec.Cmd) {
		arguments := append([]string{"-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, file}, c.Args...)
		replaced := exec.Command("/bin/sh", arguments...)
		c.Path, c.Args = replaced.Path, replaced.Args
		c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
}

// After a failover the name goes to the new address with the first connection to it. Connections to
// the old one keep the name while they live.
func TestFailover(t *testing.T) {
	t.Parallel()
	RequireObserver(t)
	if err := unshareable(); err != nil {
		skip(t, "needs CAP_SYS_ADMIN to mount a resolv.conf: "+err.Error())
	}
	const nameserver = "127.35.53.1"
	dns := lookuptest.Serve(t, nameserver+":53")
	dns.Set("redis.test", 60, "127.0.0.1")
	r := mustRedis(t, "--bind", "127.0.0.1 127.0.0.2 127.0.0.3")
	o := mustPreparedObserver(t, raceBinary, fmt.Sprintf("endpoints: [{name: cache, addresses: ['redis.test:%d']}, {name: other, addresses: ['other.test:%[1]d']}]\n", r.Port), withNameserver(t, nameserver))
	connect := func(host string) *client { return mustDial(t, fmt.Sprintf("%s:%d", host, r.Port)) }

	old := connect("127.0.0.1")
	old.mustDo("GET", "key")
	o.assertCommands("cache", counts{"get": 1})

	dns.Set("redis.test", 60, "127.0.0.2")
	c := connect("127.0.0.2") // at once, as a client that resolved the name itself
	o.mustSeePool("cache", 2, 0)
	for range 50 {
		c.mustDo("GET", "key")
	}
	o.assertCommands("cache", counts{"get": 51})

	dns.Set("other.test", 60, "127.0.0.1") // the old address is another's now
	connect("127.0.0.3").mustDo("PING")
	require.Eventually(t, func() bool {
		connect("127.0.0.1").mustDo("PING")
		return o.mustScrape().commands("other").total() > 0
	}, patience, 100*time.Millisecond)
	old.mustDo("GET", "key")
	s := o.mustSee("52 commands of cache", func(s snapshot) bool { return s.commands("cache")["get"] >= 52 })
	assert.Equal(t, 52, s.commands("cache")["get"])
	assert.Equal(t, counts{"ping": 1}, s.commands("default"))
	assertExact(t, s)
	assert.Less(t, dns.Asks(), 200)
}
