package correlate

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
)

// A loop that blocks is synced after one wait that was seen whole.
func TestLoopThatBlocksComesIntoStep(t *testing.T) {
	for _, request := range []string{"BRPOP q 1", "XREAD BLOCK 1000 STREAMS s $", "BZPOPMIN z 1", "WAIT 1 1000"} {
		p := newPlayer(t)
		p.event(event.Event{Kind: event.Existing, Seq: p.seq[event.Request], ReplySeq: p.seq[event.Reply], Awaited: true})
		for range 4 {
			p.play("+1s", "S: *-1", "C: "+request)
		}
		assert.Equal(t, "unpaired 1 mid_stream", p.got[0], request)
		assert.Len(t, p.got, 3, request)
		assert.NotContains(t, p.got[1:], "unpaired 1 mid_stream", request)
	}
}

// What is not one wait that was seen whole leaves a connection desynced: what is counted could be another's.
func TestWhatIsNoWait(t *testing.T) {
	const wait, reply = "C: BRPOP q 1", "S: *-1"
	const line = `S: +1700000000.123456 [0 127.0.0.1:5000] "get" "a"`
	for name, script := range map[string][]string{
		"too short":                      {wait, "+40ms", reply},
		"nothing was answered before":    {"C: GET a", wait, "+1s", reply},
		"two requests in one write":      {"c: *1\\r\\n$4\\r\\nPING\\r\\n*3\\r\\n$5\\r\\nBRPOP\\r\\n$1\\r\\nq\\r\\n$1\\r\\n1\\r\\n", "+1s", reply},
		"a request behind it":            {wait, "C: GET a", "+1s", reply},
		"a request during the silence":   {wait, "+1s", "C: GET a", "+1s", reply},
		"two frames":                     {wait, "+1s", `s: *-1\r\n*-1\r\n`},
		"one frame and another":          {wait, "+1s", reply, reply},
		"half a frame":                   {wait, "+1s", `s: *2\r\n$1\r\nq\r\n`},
		"does not block: a long way":     {"C: GET a", "+1s", "S: $-1"},
		"XREAD that does not block":      {"C: XREAD STREAMS s 0", "+1s", reply},
		"a message":                      {wait, "+1s", `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`},
		"an acknowledgement":             {wait, "+1s", `s: *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`},
		"a line of MONITOR and then one": {wait, "+1s", line, reply},
		"a push and then one":            {wait, "+1s", `s: >2\r\n$10\r\ninvalidate\r\n_\r\n`, reply},
		"a gap":                          {wait, "+1s", "gap c: xxx", reply},
		"in two pieces":                  {`c: *3\r\n$5\r\nBRPOP\r\n`, `c: $1\r\nq\r\n$1\r\n1\r\n`, "+1s", reply},
		"silent within the reply":        {wait, `s: *2\r\n$1\r\nq\r\n`, "+1s", `s: $1\r\nx\r\n`},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlayer(t)
			p.play("C: GET z", "S: $-1")
			p.play(script...)
			p.play("C: PING", "S: +PONG")
			assert.NotContains(t, p.got, "ping success")
		})
	}
	p := newPlayer(t)
	p.play("C: GET z", "S: $-1", wait, "+1s", reply, "C: PING", "S: +PONG")
	assert.Contains(t, p.got, "ping success", "what all of them are but for one thing")
}

// For a connection without an Open or Existing event, silence since the first event of all counts like observed silence.
func TestFirstWordAfterASilence(t *testing.T) {
	first := func(p *player) {
		p.conn = 1
		p.play("open")
		p.conn = 7
	}
	for _, test := range []struct {
		name   string
		script []string
		want   []string
	}{
		{"a request", []string{"+5s", "C: GET a", "S: $-1"}, []string{"get success"}},
		{"a request at once", []string{"C: GET a", "S: $-1"}, []string{"unpaired 1 mid_stream"}},
		{"a reply, and then a request", []string{"+5s", "S: $-1", "C: GET a", "S: $-1"}, []string{"unpaired 1 mid_stream"}},
		{"the middle of a request", []string{"+5s", `c: xx\r\n`, "C: GET a", "S: $-1"}, []string{"unpaired 1 mid_stream", "unpaired 1 mid_stream"}},
	} {
		p := newPlayer(t)
		first(p)
		assert.Equal(t, test.want, p.play(test.script...), test.name)
	}
	p := newPlayer(t)
	first(p)
	p.play("+5s")
	p.tracker.Rename(nil)
	assert.Equal(t, []string{"unpaired 1 mid_stream"}, p.play("C: GET a", "S: $-1"), "before the names changed nobody listened to it")
}

// A desynced connection comes into step after silence, although the first reply is read before its request.
func TestBoundaryBehindItsReply(t *testing.T) {
	want := []string{"unpaired 1 mid_stream", "get success", "lpush error ERR", "get success"}
	start := []string{"C: GET a", "S: $-1", "+60ms"}
	for name, script := range map[string][]string{
		"one reply":                       {"later C: GET a", "S: $-1", "now", "C: LPUSH a 1", "S: -ERR no", "C: GET a", "S: $-1"},
		"some replies":                    {"later C: GET a", "later C: LPUSH a 1", "S: $-1", "S: -ERR no", "now", "C: GET a", "S: $-1"},
		"in two pieces":                   {"later C: GET a", `s: $-`, `s: 1\r\n`, "now", "C: LPUSH a 1", "S: -ERR no", "C: GET a", "S: $-1"},
		"what was asked was read as well": {"C: GET a", "S: $-1", "C: LPUSH a 1", "S: -ERR no", "C: GET a", "S: $-1"},
	} {
		p := newPlayer(t)
		assert.Equal(t, want, p.play(append(start, script...)...), name)
	}
	for name, script := range map[string][]string{
		"it answers what was asked before":             {"S: $-1", "C: PING", "S: +PONG"},
		"it answers what was asked before, and others": {"S: $-1", "later C: PING", "S: +PONG", "now"},
		"no request comes":                             {"S: $-1", "+10ms", "+60ms", "close"},
		"no request comes in time":                     {"later C: PING", "S: +PONG", "+10ms", "+60ms", "now"},
		"a push":                                       {"later C: PING", `s: >2\r\n$10\r\ninvalidate\r\n_\r\n`, "now", "S: +PONG"},
		"there was no silence":                         {"C: GET a", "S: $-1", "later C: PING", "S: +PONG", "now"},
	} {
		p := newPlayer(t)
		p.play(start...)
		if name == "there was no silence" {
			p = newPlayer(t)
		}
		p.play(script...)
		assert.NotContains(t, p.got, "ping success", name)
		assert.NotContains(t, p.got, "unpaired 1 unsolicited", name)
	}
}
