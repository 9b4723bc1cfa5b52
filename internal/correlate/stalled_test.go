package correlate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Bytes that a client receives without an event show when its connection is listed, and are counted while it lives.
func TestRepliesOfNoCall(t *testing.T) {
	asks := func(rounds int) (script []string) {
		for range rounds {
			script = append(script, "C: PING", "lose S: +PONG", "+100ms")
		}
		return script
	}
	tests := []struct {
		name    string
		script  []string
		want    []string
		spliced uint64
		gap     Gaps // of reason not in memory
	}{
		{"nothing is ever heard", append(asks(3), "existing", "+1s", "tick"), []string{"unpaired 3 gap"}, 1, Gaps{Skipped: 1, SkippedBytes: 21}},
		{"the rest is known", append(append(asks(3), "existing", "+1s", "tick"), "C: PING", "lose S: +PONG", "close"), []string{"unpaired 3 gap", "unpaired 1 gap"}, 1, Gaps{Skipped: 1, SkippedBytes: 21}},
		{"some is heard", append([]string{"C: PING", "S: +PONG", "C: PING", "lose S: +PONG", "existing", "+1s", "tick"}, "+60ms", "C: PING", "S: +PONG"), []string{"ping success", "unpaired 1 gap", "ping success"}, 0, Gaps{Broken: 1, BrokenBytes: 7}},
		{"reported late", []string{"C: PING", "later S: +PONG", "existing", "+500ms", "now", "+1s", "C: PING", "S: +PONG"}, []string{"ping success", "ping success"}, 0, Gaps{}},
		{"within a value", []string{"C: GET a", `s: $10\r\nab`, "lose s: cdefgh", "existing", "+1s", "tick", `s: ij\r\n`}, []string{"get success"}, 0, Gaps{Skipped: 1, SkippedBytes: 6}},
		{"all was heard", []string{"C: PING", "S: +PONG", "C: PING", "existing", "+1s", "S: +PONG"}, []string{"ping success", "ping success"}, 0, Gaps{}},
		{"an urgent byte was passed over", []string{"C: PING", "S: +PONG", "lose s: x", "existing", "+1s", "C: PING", "S: +PONG"}, []string{"ping success", "ping success"}, 0, Gaps{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayer(t)
			p.tracker.shared.Sockets = true
			assert.Equal(t, test.want, p.play(append([]string{"open"}, test.script...)...))
			stats := p.tracker.Stats()
			assert.Equal(t, test.spliced, stats.Connections[session.KindSpliced])
			assert.Equal(t, test.gap, stats.Gaps[event.NotInMemory])
			assert.Zero(t, stats.Gaps[0].Broken)
		})
	}
}

// So does what a server receives.
func TestRequestsOfNoCall(t *testing.T) {
	p := newPlayer(t)
	p.role, p.tracker.shared.Sockets = event.Server, true
	p.play("open", "C: PING", "S: +PONG", "lose C: PING", "existing", "+1s", "tick", "S: +PONG", "+60ms", "C: PING", "S: +PONG")
	assert.Equal(t, []string{"ping success", "ping success"}, p.got)
	assert.EqualValues(t, 1, p.tracker.Stats().Gaps[event.NotInMemory].Broken)
}

// The connections are listed when a client goes on asking though it is not answered; more and more rarely as long as that finds nothing.
func TestSuspicion(t *testing.T) {
	p := newPlayer(t)
	p.tracker.shared.Sockets = true
	p.play("open", "C: PING", "C: PING", "+500ms", "C: PING")
	assert.False(t, p.tracker.Overdue(), "the server may be slow")
	var listings []time.Duration
	began := p.now
	for p.now < began+int64(5*time.Minute) {
		p.play("+500ms", "C: PING")
		if p.tracker.Overdue() {
			listings = append(listings, time.Duration(p.now-began).Round(time.Second))
			p.play("existing")
		}
	}
	assert.Equal(t, []time.Duration{1 * time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second, 31 * time.Second, 63 * time.Second, 127 * time.Second, 191 * time.Second, 256 * time.Second}, listings)
	p.play("lose S: +PONG", "existing", "+1s", "tick")
	assert.EqualValues(t, 1, p.tracker.Stats().Connections[session.KindSpliced])

	again := newPlayer(t)
	again.tracker = p.tracker
	again.conn, again.now = 8, p.now
	again.play("open", "C: PING", "+1s", "C: PING", "tick")
	assert.True(t, p.tracker.Overdue(), "what it found makes the next one come soon")
}
