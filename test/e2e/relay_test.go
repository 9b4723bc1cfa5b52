package e2e

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// mustRelay passes connections to an address on to another one.
func mustRelay(tb testing.TB, from, to string) {
	tb.Helper()
	listener, err := net.Listen("tcp", from)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			// Hidden behind the interface, the bytes pass through this process's memory.
			go func() { _, _ = io.Copy(struct{ io.Writer }{server}, client); _ = server.Close() }()
			go func() { _, _ = io.Copy(struct{ io.Writer }{client}, server); _ = client.Close() }()
		}
	}()
}

// A relay on the port of its server makes two observed connections of one.
func TestRelayWhoseServerIsIgnored(t *testing.T) {
	t.Parallel()
	r := mustRedis(t, "--bind", "127.0.0.1")
	mustRelay(t, fmt.Sprintf("127.0.0.2:%d", r.Port), fmt.Sprintf("127.0.0.1:%d", r.Port))
	o := mustObserver(t, fmt.Sprintf(`
ports: [%[1]d]
default_name: relayed
endpoints:
  - {role: ignore, addresses: ["127.0.0.1:%[2]d-%[1]d"]}
`, r.Port, r.Port-1))
	c := mustDial(t, fmt.Sprintf("127.0.0.2:%d", r.Port))
	for range 50 {
		c.mustDo("GET", "key")
	}
	o.assertCommands("relayed", counts{"get": 50})
	o.mustSeePool("relayed", 1, 0)
	assertExact(t, o.mustScrape())
}

// Without a default name only the endpoints count.
func TestNoDefaultName(t *testing.T) {
	t.Parallel()
	r := mustRedis(t, "--bind", "127.0.0.1 127.0.0.2")
	o := mustObserver(t, fmt.Sprintf("default_name: ''\nendpoints: [{name: cache, addresses: ['127.0.0.2:%d']}]\n", r.Port))
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		c := mustDial(t, fmt.Sprintf("%s:%d", host, r.Port))
		for range 5 {
			c.mustDo("GET", "key")
		}
	}
	o.assertCommands("cache", counts{"get": 5})
	s := o.mustScrape()
	assertExact(t, s)
	require.Equal(t, 5, s.sum("redis_commands_total"))
}
