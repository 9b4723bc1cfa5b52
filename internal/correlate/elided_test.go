package correlate

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
)

// A connection is listed in the middle of a value that the probes pass over, while such values follow each other at full speed. Nothing has
// to wait then, because what is missing up to where the program has read is part of the value.
func TestListedWithinAValue(t *testing.T) {
	const commands, listed = 200, 20
	tests := []struct {
		name                string
		role                event.Role
		before, from, after string // what is sent up to the value, by whom, and behind it
		want                string
	}{
		{"server", event.Server, `c: *3\r\n$3\r\nSET\r\n$1\r\na\r\n$5000\r\n`, "c: ", "S: +OK", "set success"},
		{"client", event.Client, `s: $5000\r\n`, "s: ", "", "get success"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayer(t)
			p.role, p.tracker.shared.Sockets = test.role, true
			p.play("open")
			value := func(n int) string { return test.from + strings.Repeat("x", n) }
			if test.role == event.Client {
				for range commands {
					p.bytes("C: GET a")
				}
			}
			for i := range commands {
				p.bytes(test.before)
				p.bytes(value(64))
				p.bytes("lose " + value(2000))
				if i == listed {
					p.line("existing")
				}
				p.bytes("lose " + value(5000-2000-64))
				p.bytes(test.from + `\r\n`)
				if test.after != "" {
					p.bytes(test.after)
				}
				p.now += int64(10 * time.Microsecond)
			}
			assert.Equal(t, strings.Repeat(test.want+"\n", commands), strings.Join(p.got, "\n")+"\n")
			stats := p.tracker.Stats()
			assert.Zero(t, stats.HeldOverflow)
			assert.Zero(t, stats.Unsolicited)
			assert.Zero(t, p.tracker.held.used, "what is held")
		})
	}
}

// So it is where replies wait for requests that come late: the rest of a value goes on when its beginning does.
func TestValueAheadOfItsRequest(t *testing.T) {
	p := newPlayer(t)
	p.play("open", "later C: GET a", "later C: GET b", `s: $5000\r\nx`, "lose s: "+strings.Repeat("x", 4998), `s: x\r\n`, "S: $-1", "now")
	assert.Equal(t, []string{"get success", "get success"}, p.got)
	assert.Zero(t, p.tracker.held.used, "what is held")
}
