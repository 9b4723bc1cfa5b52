package e2e

import (
	"fmt"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// assertCommands waits for exactly these commands under a name.
func (o *observer) assertCommands(name string, want counts) {
	o.tb.Helper()
	s := o.mustSee(fmt.Sprintf("%d commands of %s", want.total(), name), func(s snapshot) bool {
		return s.commands(name).total() >= want.total()
	})
	assert.Equal(o.tb, want, s.commands(name), name)
}

func TestNames(t *testing.T) {
	t.Parallel()
	r := mustRedis(t, "--bind", "127.0.0.1 127.0.0.2 127.7.0.1 127.7.1.1 ::1")
	wild := mustRedis(t)
	o := mustObserver(t, fmt.Sprintf(`
ports: [%[1]d]
default_name: rest
endpoints:
  - {name: exact, addresses: ["127.0.0.2:%[1]d"]}
  - {name: network, addresses: ["127.7.0.0/16:%[1]d"]}
  - {name: narrow, addresses: ["127.7.1.0/24:%[1]d"]}
  - {name: six, addresses: ["[::1]:%[1]d"]}
  - {name: wild, addresses: ["*:%[2]d"]}
`, r.Port, wild.Port))
	for i, test := range []struct {
		name, host string
		port       int
	}{
		{"rest", "127.0.0.1", r.Port},
		{"exact", "127.0.0.2", r.Port},
		{"network", "127.7.0.1", r.Port},
		{"narrow", "127.7.1.1", r.Port},
		{"six", "::1", r.Port},
		{"wild", "127.0.0.1", wild.Port},
	} {
		c := mustDial(t, net.JoinHostPort(test.host, strconv.Itoa(test.port)))
		c.mustSend(repeat(i+1, "GET", "key"))
		c.mustReceive(i + 1)
		o.assertCommands(test.name, counts{"get": i + 1})
		o.mustSeePool(test.name, 1, 0)
	}
	assertExact(t, o.mustScrape())
}

// An IPv4 connection of a socket of the IPv6 family has the IPv4 address, at either end.
func TestMappedAddresses(t *testing.T) {
	t.Parallel()
	t.Run("client", func(t *testing.T) {
		r := mustRedis(t)
		o := mustObserver(t, fmt.Sprintf("endpoints: [{name: mapped, addresses: ['127.0.0.1:%d']}]\n", r.Port))
		fd := mustSocket(t, unix.AF_INET6, &unix.SockaddrInet6{Port: r.Port, Addr: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}})
		for range 10 {
			mustExchange(t, fd, ways["write"], ways["read"], 1, request("PING"), len("+PONG\r\n"))
		}
		o.assertCommands("mapped", counts{"ping": 10})
	})
	t.Run("server", func(t *testing.T) {
		port := mustPort(t)
		o := mustObserver(t, fmt.Sprintf("endpoints: [{name: mapped, addresses: ['127.0.0.1:%d'], role: server}]\n", port))
		server := miniredis.NewMiniRedis()
		require.NoError(t, server.StartAddr(fmt.Sprintf("[::]:%d", port)))
		t.Cleanup(server.Close)
		c := mustDial(t, fmt.Sprintf("127.0.0.1:%d", port))
		for range 10 {
			c.mustDo("PING")
		}
		o.assertCommands("mapped", counts{"ping": 10})
	})
}

// A machine that runs both ends counts each command once, at the end that its endpoint asks for, the more specific one where two do.
func TestRoles(t *testing.T) {
	t.Parallel()
	asClient, asServer, both := mustRedis(t), mustRedis(t), mustRedis(t)
	o := mustObserver(t, fmt.Sprintf(`
ports: []
endpoints:
  - {name: app, addresses: ["127.0.0.1:%d"], role: client}
  - {name: store, addresses: ["127.0.0.1:%d"], role: server}
  - {name: near, addresses: ["127.0.0.1:%[3]d"], role: client}
  - {name: far, addresses: ["*:%[3]d"], role: server}
`, asClient.Port, asServer.Port, both.Port))
	for _, r := range []*redis{asClient, asServer, both} {
		r.mustResetStats()
		c := mustDial(t, r.Address())
		c.mustSend(repeat(20, "SET", "key", "value"))
		c.mustReceive(20)
		c.mustDo("LPUSH", "key", "wrong")
		c.mustSend(request("BLPOP", "empty", "0"))
	}
	names := []string{"app", "store", "near"}
	for _, name := range names {
		o.assertCommands(name, counts{"set": 20, "lpush": 1})
		o.mustSeePool(name, 0, 1)
	}
	for _, r := range []*redis{asClient, asServer, both} {
		r.mustKill()
	}
	for _, name := range names {
		o.assertCommands(name, counts{"set": 20, "lpush": 1, "blpop": 1})
		o.mustSeePool(name, 0, 0)
	}
	s := o.mustScrape()
	assertExact(t, s)
	assert.Zero(t, s.commands("default").total())
	assert.Zero(t, s.commands("far").total())
}

func TestReload(t *testing.T) {
	t.Parallel()
	r, added := mustRedis(t), mustRedis(t)
	named := func(name string) string {
		return fmt.Sprintf("endpoints: [{name: %s, addresses: ['127.0.0.1:%d']}]\n", name, r.Port)
	}
	o := mustObserver(t, named("old"))
	c := mustDial(t, r.Address())
	for range 5 {
		c.mustDo("PING")
	}
	c.mustSend(request("BLPOP", "list", "0"))
	o.mustSeePool("old", 0, 1)
	unobserved := mustDial(t, added.Address())
	unobserved.mustDo("PING")

	// What is wrong changes nothing.
	o.mustConfigure("endpoints: [{nmae: new}]\n")
	o.mustSignal(syscall.SIGHUP)
	o.mustSee("a refused configuration", func(s snapshot) bool { return s.value("redis_observer_config_last_reload_successful") == 0 })
	o.mustSeePool("old", 0, 1)

	o.mustConfigure(named("new") + fmt.Sprintf("ports: [%d]\n", added.Port))
	o.mustSignal(syscall.SIGHUP)
	o.mustSeePool("new", 0, 1)
	o.mustSeePool("old", 0, 0)
	o.mustSeePool("default", 1, 0) // the connection on the added port existed before
	c.mustReceiveAfter(func() { r.mustControl("LPUSH", "list", "a") })
	time.Sleep(200 * time.Millisecond) // the old connection is synced at its next request
	unobserved.mustDo("PING")
	o.assertCommands("new", counts{"blpop": 1})
	o.assertCommands("old", counts{"ping": 5})
	o.assertCommands("default", counts{"ping": 1})
	o.mustSeePool("new", 1, 0)
	s := o.mustScrape()
	assert.Equal(t, 1, s.value("redis_observer_config_last_reload_successful"))
	assertExact(t, s)
}

// A connection that counts at its other end since a reload goes on there.
func TestReloadOfRoles(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	named := func(role string) string {
		return fmt.Sprintf("ports: []\nendpoints: [{name: %[1]s, role: %[1]s, addresses: ['127.0.0.1:%d']}]\n", role, r.Port)
	}
	o := mustObserver(t, named("client"))
	c := mustDial(t, r.Address())
	c.mustDo("PING")
	o.mustSeePool("client", 1, 0)
	o.assertCommands("client", counts{"ping": 1})
	for i, role := range []string{"server", "client"} {
		o.mustConfigure(named(role))
		o.mustSignal(syscall.SIGHUP)
		o.mustSeePool(role, 1, 0)
		time.Sleep(200 * time.Millisecond) // it is synced at its next request
		c.mustDo("PING")
		o.assertCommands(role, counts{"ping": 1 + i})
	}
}

// mustReceiveAfter receives the reply that an act elsewhere brings about.
func (c *client) mustReceiveAfter(act func()) {
	c.tb.Helper()
	act()
	c.mustReceive(1)
}
