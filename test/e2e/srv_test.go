package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/lookup/lookuptest"
	"github.com/redis-observer/redis-observer/test/kit"
)

// SRV records name servers with their ports, which nobody wrote down. When they change, a connection to
// a known port has its name at once, and new ports are observed as soon as the records expire.
func TestSRV(t *testing.T) {
	t.Parallel()
	RequireObserver(t)
	if err := unshareable(); err != nil {
		skip(t, "needs CAP_SYS_ADMIN to mount a resolv.conf: "+err.Error())
	}
	const nameserver = "127.35.53.2"
	dns := lookuptest.Serve(t, nameserver+":53")
	first, second := mustRedis(t, "--bind", "127.0.0.1 127.0.0.2"), mustRedis(t)
	dns.Set("redis-0.test", 60, "127.0.0.1")
	dns.Set("redis-1.test", 60, "127.0.0.2")
	dns.SetSRV("_redis._tcp.shop.test", 2, fmt.Sprintf("redis-0.test:%d", first.Port))
	config := `
ports: []
endpoints:
  - name: shop
    addresses:
      - srv://_redis._tcp.shop.test
`
	o := mustPreparedObserver(t, raceBinary, config, withNameserver(t, nameserver))
	connect := func(host string, port int) *client { return mustDial(t, fmt.Sprintf("%s:%d", host, port)) }

	old := connect("127.0.0.1", first.Port)
	old.mustDo("GET", "key")
	o.assertCommands("shop", counts{"get": 1})

	dns.SetSRV("_redis._tcp.shop.test", 2, fmt.Sprintf("redis-1.test:%d", first.Port), fmt.Sprintf("redis-0.test:%d", second.Port))
	c := connect("127.0.0.2", first.Port) // at once, as a client that looked up the records itself
	o.mustSeePool("shop", 2, 0)
	for range 20 {
		c.mustDo("GET", "key")
	}
	o.assertCommands("shop", counts{"get": 21})

	late := connect("127.0.0.1", second.Port) // of a port that was not observed
	o.mustSeePool("shop", 3, 0)
	late.mustDo("PING")
	old.mustDo("GET", "key")
	s := o.mustSee("all commands", func(s snapshot) bool { return s.commands("shop").total() >= 23 })
	assert.Equal(t, counts{"get": 22, "ping": 1}, s.commands("shop"))
	assert.Empty(t, s.commands("default"))
	assertExact(t, s)

	file := filepath.Join(t.TempDir(), "observer.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o644))
	check := exec.Command(raceBinary, "check", "--config", file)
	withNameserver(t, nameserver)(check)
	check.Env = kit.Environment()
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), fmt.Sprintf("srv://_redis._tcp.shop.test = 127.0.0.1:%d, 127.0.0.2:%d\n", second.Port, first.Port))
}
