package correlate

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// A relay that splices is one connection that cannot be read, and not a gap for each of its calls.
func TestSplicedConnections(t *testing.T) {
	relay := []string{"open"}
	for range 50 {
		relay = append(relay, "splice C: PING", "lose S: +PONG")
	}
	x := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name            string
		script          []string
		want            []string
		spliced, broken uint64
	}{
		{"nothing is ever read", append(slices.Clone(relay), "close"), nil, 1, 0},
		{"both directions have events", []string{"open", "splice C: PING", "splice S: +PONG", "splice C: PING", "splice S: +PONG", "close"}, nil, 1, 0},
		{"after it was read", slices.Concat([]string{"open", "C: PING", "S: +PONG"}, relay[1:], []string{"close"}), []string{"ping success"}, 1, 2},
		{"replies are read", []string{"open", "C: PING", "S: +PONG", "splice C: PING", "S: +PONG", "splice C: PING", "S: +PONG", "splice C: PING", "splice C: PING"}, []string{"ping success"}, 1, 2},
		{"requests are read", []string{"open", "C: PING", "splice S: +PONG", "C: PING", "splice S: +PONG"}, []string{"unpaired 1 gap", "unpaired 1 gap"}, 0, 2},
		{"bodies alone", []string{"open", "C: GET a", `s: $190\r\n` + x(100), "splice s: " + x(30), "splice s: " + x(30), "splice s: " + x(30), `s: \r\n`}, []string{"get success"}, 0, 0},
		{
			"read again", slices.Concat(relay, []string{"+60ms", "C: PING", "S: +PONG", "+60ms", "C: PING", "S: +PONG"}),
			[]string{"unpaired 1 gap", "ping success"}, 1, 0,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayer(t)
			assert.Equal(t, test.want, p.play(test.script...))
			stats := p.tracker.Stats()
			assert.Equal(t, test.spliced, stats.Connections[session.KindSpliced], "spliced")
			assert.Equal(t, test.broken, stats.Gaps[event.NotInMemory].Broken+stats.Gaps[0].Broken, "broken gaps")
		})
	}
}

// A byte of MSG_OOB has an offset and is no part of what is said. A receive that leaves it out leaves a hole.
func TestUrgentBytes(t *testing.T) {
	const later = "+60ms"
	tests := []struct {
		name   string
		role   event.Role
		script []string
		want   []string
		torn   bool
	}{
		{"sent", event.Client, []string{"open", "C: PING", "urgent c: x", "C: GET a", "S: +PONG", "S: $-1"}, []string{"ping success", "get success"}, false},
		{"sent within a request", event.Client, []string{"open", "c: *1\r\n$4\r\nPI", "urgent c: x", "c: NG\r\n", "S: +PONG", later, "C: GET a", "S: $-1"}, []string{"get success"}, true},
		{"a part of the request that it is sent in", event.Client, []string{"open", "c: *1\r\n$4\r\nPI", "urgent c: N", "c: G\r\n", "S: +PONG", later, "C: GET a", "S: $-1"}, []string{"get success"}, true},
		{"sent within a reply", event.Server, []string{"open", "C: GET a", "s: $", "urgent s: 1", "s: 2\r\nab\r\n", later, "C: PING", "S: +PONG"}, []string{"unpaired 1 gap", "ping success"}, true},
		{"received by the server", event.Server, []string{"open", "C: PING", "S: +PONG", "lose c: x", "C: GET a", "S: $-1"}, []string{"ping success", "get success"}, false},
		{"received by the client", event.Client, []string{"open", "C: PING", "S: +PONG", "lose s: x", "C: GET a", "S: $-1"}, []string{"ping success", "get success"}, false},
		{"received within a request", event.Server, []string{"open", "c: *1\r\n$4\r\nPI", "lose c: x", "c: NG\r\n", later, "S: +PONG", later, "C: GET a", "S: $-1"}, []string{"get success"}, true},
		{"received within a reply", event.Client, []string{"open", "C: GET a", "s: $2\r\na", "lose s: x", "s: b\r\n", later, "C: PING", "S: +PONG"}, []string{"unpaired 1 gap", "ping success"}, true},
		{"in line in a request", event.Server, []string{"open", "c: *1\r\n$4\r\nPI", "inline c: N", "c: G\r\n", "S: +PONG"}, []string{"ping success"}, false},
		{"in line in a reply", event.Client, []string{"open", "C: GET a", "s: $", "inline s: 2", "s: \r\nab\r\n"}, []string{"get success"}, false},
		{"in line in front", event.Server, []string{"open", "inline c: *", "c: 1\r\n$4\r\nPING\r\n", "inline s: -", "s: ERR\r\n"}, []string{"ping error ERR"}, false},
		{"in line between", event.Server, []string{"open", "C: PING", "inline c: x", "C: GET a", "S: +PONG", "S: $-1"}, []string{"ping success", "get success"}, false},
		{"a byte of a request", event.Server, []string{"open", "C: PING", "S: +PONG", "lose c: *", "c: 1\r\n$4\r\nPING\r\n", later, "S: +PONG"}, []string{"ping success"}, true},
		{"a byte of a number", event.Client, []string{"open", "C: PING", "S: +PONG", "C: INCR a", "lose s: :", "S: -5", later}, []string{"ping success", "unpaired 1 gap"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayer(t)
			p.role = test.role
			p.tracker.shared.Sockets = true
			assert.Equal(t, test.want, p.play(test.script...))
			gaps := p.tracker.Stats().Gaps
			assert.Equal(t, test.torn, gaps[event.Urgent].Broken+gaps[0].Broken == 1, "what may be wrong is counted")
		})
	}
}

// With TCP Fast Open payload passes before the connection is open.
func TestFastOpen(t *testing.T) {
	for _, role := range []event.Role{event.Client, event.Server} {
		p := newPlayer(t)
		p.role = role
		p.play("opening", "C: SET a 1", "open", "S: +OK", "C: GET a", "S: $-1", "half-close", "close")
		assert.Equal(t, []string{"set success", "get success"}, p.got)
		stats := p.tracker.Stats()
		assert.Zero(t, stats.LostConnections)
		assert.Zero(t, stats.Gaps[0])
	}
}

// What cannot be read is counted by its kind once, and what was outstanding is no success.
func TestOtherStreams(t *testing.T) {
	p := newPlayer(t)
	p.play("open", "C: PING")
	for range 3 {
		p.event(event.Event{Kind: event.OtherStream, Stream: event.Sockmap})
	}
	p.play("C: PING", "S: +PONG", "close")
	assert.Equal(t, []string{"unpaired 1 gap"}, p.got)
	stats := p.tracker.Stats()
	assert.EqualValues(t, 1, stats.Connections[session.KindSockmap])
	assert.Zero(t, stats.Tracked)
}

// Bytes that were received without an event are not unanswered requests, however many there were.
func TestRepliesReceivedUnseen(t *testing.T) {
	for _, bytes := range []uint32{14, 1_200_000_000, 3_000_000_000} {
		p := newPlayer(t)
		p.play("open", "C: GET a", "C: GET b")
		p.seq[event.Reply] += bytes
		p.play("close")
		assert.Equal(t, []string{"unpaired 2 gap"}, p.got)
		stats := p.tracker.Stats()
		assert.Equal(t, Gaps{Broken: 1, BrokenBytes: uint64(bytes)}, stats.Gaps[0])
	}
}
