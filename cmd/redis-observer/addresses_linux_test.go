package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/naming"
	"github.com/redis-observer/redis-observer/internal/report"
)

// The observer shows the addresses of its configuration, and those that have connections without a
// name as they are by now.
func TestAddresses(t *testing.T) {
	r := mustRun(t, 21140, "endpoints: [{name: sessions, addresses: ['10.0.0.1:6379', '10.1.0.0/16:6379', 'cache.test:6379']}, {name: queue, addresses: ['10.0.0.2:6390'], role: server}, {name: default, addresses: ['10.0.0.3:6379']}]")
	read := func() (v report.Addresses) {
		status, body := r.get("/addresses")
		assert.Equal(t, 200, status, body)
		assert.NoError(t, json.Unmarshal([]byte(body), &v))
		return v
	}
	v := read()
	assert.Empty(t, v.Unnamed)
	if assert.Len(t, v.Named, 5) {
		assert.Contains(t, v.Named[2].Error, "no such host")
		v.Named[2].Error = ""
	}
	assert.Equal(t, []report.Named{
		{Name: "sessions", Role: "client", Address: "10.0.0.1:6379"}, {Name: "sessions", Role: "client", Address: "10.1.0.0/16:6379"},
		{Name: "sessions", Role: "client", Address: "cache.test:6379"}, {Name: "queue", Role: "server", Address: "10.0.0.2:6390"},
		{Name: "default", Role: "client", Address: "10.0.0.3:6379"},
	}, v.Named)

	r.source.connect(1, "10.0.0.1:6379")
	r.source.connect(2, "10.1.0.1:6379")
	r.source.connect(3, "10.0.0.3:6379") // named as those without a name are
	for id := range uint64(3) {
		r.source.connect(10+id, "10.9.0.1:6379")
	}
	c := r.source.connect(20, "[fd00::1]:6379")
	r.source.events <- event.Event{Kind: event.Owned, Conn: c.id, Endpoints: c.endpoints, Time: c.now, Owner: &event.Owner{Executable: "web", Complete: true}}
	want := []report.Unnamed{{Address: "10.9.0.1:6379", Role: "client", Connections: 3}, {Address: "[fd00::1]:6379", Role: "client", Connections: 1, Executables: []string{"web"}}}
	r.await(func() bool { return assert.ObjectsAreEqual(want, read().Unnamed) }, "the addresses without a name")
	_, page := r.get("/")
	assert.Contains(t, page, "4 connections to 2 addresses on observed ports have no name; an endpoint with the address gives one")

	r.source.events <- event.Event{Kind: event.Closed, Conn: c.id, Endpoints: c.endpoints, Time: c.now}
	r.await(func() bool { return assert.ObjectsAreEqual(want[:1], read().Unnamed) }, "the end of one")
	r.write("endpoints: [{name: sessions, addresses: ['10.9.0.1:6379']}]\ndefault_name: ''\n")
	r.await(func() bool { v = read(); return len(v.Named) == 1 && len(v.Unnamed) == 0 }, "the reload")
	assert.True(t, v.Uncounted)
	r.end()
}

func TestNamedAddressesAreLimited(t *testing.T) {
	var all []naming.Described
	for range report.MaxNamed + 7 {
		all = append(all, naming.Described{Name: "cache", Address: address.Address{Host: "cache", Ports: address.Port(6379)}})
	}
	for i := range report.MaxResolved + 5 {
		all[0].Resolved = append(all[0].Resolved, netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:0", i)))
	}
	all[0].Failure = errors.New("timeout")
	v := namedAddresses(all)
	assert.Len(t, v.Named, report.MaxNamed)
	assert.Equal(t, 7, v.OtherNamed)
	assert.Len(t, v.Named[0].Resolved, report.MaxResolved)
	assert.Equal(t, "10.0.0.0", v.Named[0].Resolved[0])
	assert.Equal(t, 5, v.Named[0].More)
	assert.Equal(t, "timeout", v.Named[0].Error)
}
