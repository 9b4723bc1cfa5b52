package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		name             string
		server, observer ledger
		allowed          []allowance
		countsNoErrors   bool
		want             []difference
	}{
		{name: "equal", server: ledger{"get": {3, 1}}, observer: ledger{"get": {3, 1}}},
		{name: "too few", server: ledger{"get": {3, 1}}, observer: ledger{"get": {2, 1}}, want: []difference{{"get", count{3, 1}, count{2, 1}}}},
		{name: "too many", server: ledger{}, observer: ledger{"get": {1, 0}}, want: []difference{{"get", count{}, count{1, 0}}}},
		{name: "other errors", server: ledger{"get": {3, 1}}, observer: ledger{"get": {3, 2}}, want: []difference{{"get", count{3, 1}, count{3, 2}}}},
		{name: "allowed", server: ledger{"get": {5, 1}}, observer: ledger{"get": {3, 1}}, allowed: []allowance{{exception: scriptInner, label: "get", total: exactly(2)}}},
		{name: "allowed to another extent", server: ledger{"get": {4, 1}}, observer: ledger{"get": {3, 1}},
			allowed: []allowance{{exception: scriptInner, label: "get", total: exactly(2)}}, want: []difference{{"get", count{4, 1}, count{3, 1}}}},
		{name: "allowed of another command", server: ledger{"get": {4, 0}}, observer: ledger{"get": {3, 0}},
			allowed: []allowance{{exception: scriptInner, label: "set", total: span{0, 9}}}, want: []difference{{"get", count{4, 0}, count{3, 0}}}},
		{name: "unknown to the server", server: ledger{"other": {3, 3}}, observer: ledger{"client_setinfo": {2, 2}, "other": {1, 1}}},
		{name: "more unknown than it refused", server: ledger{"other": {2, 2}}, observer: ledger{"client_setinfo": {2, 2}, "other": {1, 1}},
			want: []difference{{"other", count{2, 2}, count{3, 3}}}},
		{name: "a server without errors", countsNoErrors: true, server: ledger{"get": {3, 0}, "config": {1, 0}},
			observer: ledger{"get": {4, 1}, "config_get": {1, 0}, "other": {7, 7}}},
		{name: "less than what succeeded", countsNoErrors: true, server: ledger{"get": {2, 0}}, observer: ledger{"get": {4, 1}},
			want: []difference{{"get", count{2, 0}, count{4, 1}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, compare(test.server, test.observer, test.allowed, !test.countsNoErrors))
		})
	}
}

func TestChoose(t *testing.T) {
	assert.Len(t, choose(servers, serverName, ""), len(servers))
	assert.Equal(t, []string{"redis-7.0"}, names(choose(servers, serverName, "redis-7.0"), serverName), "not the row with threads")
	raw := names(choose(clients, clientName, "raw,hiredis"), clientName)
	assert.Contains(t, raw, "raw-quit")
	assert.Contains(t, raw, "hiredis")
	assert.NotContains(t, raw, "cluster")
}

func TestNamesAndPortsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	ports := map[int]string{}
	for _, s := range servers {
		assert.False(t, seen[s.name], s.name)
		seen[s.name] = true
		for _, port := range []int{s.port, s.port + 1, s.port + unobserved, s.port + unobserved + 1, s.port + unobserved + 2} {
			assert.Empty(t, ports[port], "%s: port %d", s.name, port)
			ports[port] = s.name
		}
	}
	for _, c := range clients {
		assert.False(t, seen[c.name], c.name)
		seen[c.name] = true
	}
}

func TestExceptionsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/accuracy.md")
	require.NoError(t, err)
	for _, e := range exceptions {
		assert.Contains(t, string(text), "| `"+e.name+"` | "+e.reason+" |")
	}
}
