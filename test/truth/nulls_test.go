package main

import (
	"bufio"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

func TestCompareNulls(t *testing.T) {
	for _, test := range []struct {
		name      string
		all       lookups
		byCommand map[string]lookups
		seen      sighting
		allowed   []allowance
		want      []string // what differs
	}{
		{name: "sum", all: lookups{9, 3}, seen: sighting{nulls: map[string]int{"get": 1, "mget": 2, "set": 7}}},
		{name: "sum, too few", all: lookups{9, 3}, seen: sighting{nulls: map[string]int{"get": 2}}, want: []string{"keys missed, and nulls"}},
		{name: "sum, too many", all: lookups{9, 3}, seen: sighting{nulls: map[string]int{"get": 4}}, want: []string{"keys missed, and nulls"}},
		{name: "sum, allowed", all: lookups{9, 3}, seen: sighting{nulls: map[string]int{"get": 2}},
			allowed: []allowance{{exception: missTwice, label: "xread", misses: exactly(1)}}},
		{name: "each", all: lookups{2, 3}, byCommand: map[string]lookups{"get": {2, 1}, "mget": {0, 2}},
			seen: sighting{nulls: map[string]int{"get": 1, "mget": 2}, commands: ledger{"get": {4, 1}, "mget": {1, 0}}}},
		{name: "one for another", all: lookups{2, 3}, byCommand: map[string]lookups{"get": {2, 1}, "mget": {0, 2}},
			seen: sighting{nulls: map[string]int{"get": 2, "mget": 1}, commands: ledger{"get": {4, 0}, "mget": {1, 0}}},
			want: []string{"keys missed, and nulls, of get", "keys missed, and nulls, of mget"}},
		{name: "of another command", all: lookups{0, 1}, byCommand: map[string]lookups{"get": {0, 1}},
			seen: sighting{nulls: map[string]int{"get": 1, "exec": 1}, commands: ledger{"get": {1, 0}}}, want: []string{"keys missed, and nulls, of exec"}},
		{name: "allowed of another command", all: lookups{0, 1}, byCommand: map[string]lookups{"ttl": {0, 1}}, seen: sighting{},
			allowed: []allowance{{exception: missWithoutNull, label: "type", misses: exactly(1)}}, want: []string{"keys missed, and nulls, of ttl"}},
		{name: "hits", all: lookups{2, 0}, byCommand: map[string]lookups{"get": {2, 0}}, seen: sighting{commands: ledger{"get": {3, 0}}},
			want: []string{"keys found, and replies but nulls, of get"}},
		{name: "lookups of nobody", all: lookups{1, 1}, byCommand: map[string]lookups{}, want: []string{"keys found, and of each command", "keys missed, and of each command"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, d := range compareNulls(test.all, test.byCommand, test.seen, test.allowed) {
				got = append(got, d.(countDifference).what)
			}
			assert.Equal(t, test.want, got)
		})
	}
}

func TestCompareBytes(t *testing.T) {
	server := traffic{requests: 10, replies: 20}
	assert.Empty(t, compareBytes(server, traffic{10, 20}, span{}))
	assert.Len(t, compareBytes(server, traffic{9, 19}, span{}), 2)
	assert.Empty(t, compareBytes(server, traffic{10, 19}, span{0, 5}), "the rest was not read")
	assert.Len(t, compareBytes(server, traffic{10, 21}, span{0, 5}), 1, "nobody reads what was not written")
	assert.Len(t, compareBytes(server, traffic{9, 20}, span{0, 5}), 1)
}

func TestNullsIn(t *testing.T) {
	stream := bufio.NewReader(strings.NewReader("$-1\r\n*-1\r\n_\r\n$3\r\nnil\r\n*0\r\n*4\r\n$-1\r\n_\r\n$0\r\n\r\n*1\r\n$-1\r\n"))
	var replies []resp.Reply
	for range 6 {
		reply, err := resp.Read(stream)
		require.NoError(t, err)
		replies = append(replies, reply)
	}
	assert.Equal(t, 5, nullsIn(replies), "not those within elements")
}
