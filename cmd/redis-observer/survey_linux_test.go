package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/event"
)

// runSurvey runs check --for beside a source that is closed after all of its events.
func runSurvey(t *testing.T, source *fakeLive, failure error, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	emptyTestVariables(t)
	var out, fault bytes.Buffer
	world := program{hostsOfCheck, machine{open: func(context.Context, capture.Options) (capture.Source, error) { return source, failure }}}
	status = world.run(context.Background(), append([]string{"check", "--for", "300ms"}, args...), &out, &fault)
	return status, out.String(), fault.String()
}

func TestSurvey(t *testing.T) {
	file := mustText(t, `
endpoints:
  - {name: cache, addresses: ["10.0.0.10:6379"]}
  - {name: default, addresses: ["10.0.0.11:6379"]}
  - {role: ignore, addresses: ["172.17.0.0/16:6379"]}
`)
	events := func() *fakeLive {
		source := newFakeLive()
		for id, server := range []string{"10.0.0.10:6379", "10.0.0.11:6379", "172.17.0.2:6379", "10.9.0.1:6379", "10.9.0.2:6379", "10.9.0.2:6379"} {
			source.connect(uint64(id), server)
		}
		source.connect(0, "10.0.0.10:6379") // again: the same connection
		return source
	}
	status, stdout, _ := runSurvey(t, events(), nil, "--config", file)
	assert.Equal(t, 0, status)
	assert.Equal(t, `10.9.0.2:6379    at the client end  2 connections  default (no endpoint has it)
10.9.0.1:6379    at the client end  1 connection   default (no endpoint has it)
10.0.0.10:6379   at the client end  1 connection   cache
10.0.0.11:6379   at the client end  1 connection   default
172.17.0.2:6379  at the client end  1 connection   not counted
`, stdout)

	_, stdout, _ = runSurvey(t, events(), nil, "--config", file, "--output", "json")
	var list []surveyed
	require.NoError(t, json.Unmarshal([]byte(stdout), &list))
	assert.Equal(t, surveyed{place: place{Address: "10.9.0.2:6379", End: "client", Name: "default", Unnamed: true}, Connections: 2}, list[0])

	_, stdout, _ = runSurvey(t, newFakeLive(), nil, "--config", file)
	assert.Equal(t, "no connection on the observed ports\n", stdout)
	status, _, stderr := runSurvey(t, nil, errors.New("no backend works"))
	assert.Equal(t, 1, status)
	assert.Contains(t, stderr, "observe for 300ms: no backend works")
	status, _, stderr = runSurvey(t, nil, nil, "--for", "2h")
	assert.Equal(t, 1, status)
	assert.Contains(t, stderr, "--for 2h0m0s is out of range (allowed up to 1h0m0s)")
}

// A survey shows who has the connections, and whom ignore leaves out.
func TestSurveyOfOwners(t *testing.T) {
	file := mustText(t, `
ignore: {processes: [twemproxy], units: [relay.service]}
endpoints:
  - {name: cache, addresses: ["10.0.0.10:6379"]}
`)
	source := newFakeLive()
	for id, owner := range []*event.Owner{
		{Executable: "web", Complete: true},
		{Executable: "app", Complete: true},
		{Executable: "twemproxy", Complete: true},
		{Cgroup: "/system.slice/relay.service"},
	} {
		c := source.connect(uint64(id), "10.0.0.10:6379")
		source.events <- event.Event{Kind: event.Owned, Conn: c.id, Endpoints: c.endpoints, Owner: owner}
		c.exchange("$-1\r\n")
	}
	_, stdout, _ := runSurvey(t, source, nil, "--config", file)
	assert.Equal(t, `10.0.0.10:6379  at the client end  2 connections  cache              app web
10.0.0.10:6379  at the client end  1 connection   ignored (process)  twemproxy
10.0.0.10:6379  at the client end  1 connection   ignored (unit)
`, stdout)
}
