package correlate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// unaskedCase is a script and all that is counted of it. Its line "server-close" ends the server's
// stream, whichever end is observed.
type unaskedCase struct {
	name        string
	script      []string
	want        []string
	kinds       string // each kind as often as it was counted
	unsolicited uint64
	broken      bool // a gap is counted that desynced the connection
}

// play plays the script at both ends, from sockets and from packets.
func (c *unaskedCase) play(t *testing.T) {
	for _, role := range []event.Role{event.Client, event.Server} {
		for _, sockets := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/role=%d/sockets=%v", c.name, role, sockets), func(t *testing.T) {
				p := newPlayer(t)
				p.role, p.tracker.shared.Sockets = role, sockets
				serverClose := map[event.Role]string{event.Client: "peer-close", event.Server: "leave"}[role]
				for _, line := range c.script {
					if line == "server-close" {
						line = serverClose
					}
					p.line(line)
				}
				assert.Equal(t, c.want, p.got)
				s := p.tracker.Stats()
				var kinds []string
				for kind, n := range s.Connections {
					kinds = append(kinds, slices.Repeat([]string{session.Kind(kind).String()}, int(n))...)
				}
				assert.Equal(t, c.kinds, strings.Join(kinds, " "))
				assert.Equal(t, c.unsolicited, s.Unsolicited, "unsolicited")
				broken := uint64(0)
				for _, g := range s.Gaps {
					broken += g.Broken
				}
				assert.Equal(t, c.broken, broken > 0, "%d broken gaps", broken)
				assert.Zero(t, p.tracker.Outstanding())
			})
		}
	}
}

// unaskedEnds are ways to end a connection. The counts are the same for all of them.
var unaskedEnds = map[string][]string{
	"client closes":             {"close"},
	"client closes later":       {"+60ms", "close"},
	"server closes":             {"server-close", "close"},
	"server closes later":       {"+60ms", "server-close", "close"},
	"server closes, long since": {"server-close", "+60ms", "close"},
}

// playEnds plays the script with each of the endings.
func (c *unaskedCase) playEnds(t *testing.T) {
	for name, end := range unaskedEnds {
		ended := *c
		ended.name += "/" + name
		ended.script = append(slices.Clone(c.script), end...)
		ended.play(t)
	}
}

// The reply to a lost request is unpaired, or the broken gap stands for it too. It is neither
// unsolicited nor a greeting.
func TestReplyToALostRequest(t *testing.T) {
	for _, reply := range []string{"S: +OK", `s: $5\r\nhello\r\n`, "S: -ERR no", "S: :1"} {
		shown := "" // by the reply
		if reply == "S: -ERR no" {
			shown = "redis"
		}
		for _, test := range []unaskedCase{
			{"lost", []string{"open", "lose C: GET a", reply}, []string{"unpaired 1 gap"}, shown, 0, true},
			{"lost, several", []string{"open", "lose C: GET a", "lose C: GET b", reply, reply}, []string{"unpaired 2 gap"}, shown, 0, true},
			{"lost, reply let go", []string{"open", "lose C: GET a", reply, "+60ms", reply}, []string{"unpaired 2 gap"}, shown, 0, true},
			{"known behind the reply", []string{"open", reply, "+60ms", "gap C: GET a"}, []string{"unpaired 1 gap"}, shown, 0, true},
			{"known while the reply waits", []string{"open", reply, "gap C: GET a"}, nil, "", 0, true},
			{"known before the reply", []string{"open", "gap C: GET a", reply}, nil, "", 0, true},
			{"a request behind it", []string{"open", "lose C: GET a", reply, "C: GET b", "S: $-1", "+60ms"}, []string{"unpaired 1 gap"}, "redis", 0, true},
			{"a request behind it, later", []string{"open", "lose C: GET a", reply, "+60ms", "C: GET b", "S: $-1", "+60ms"}, []string{"unpaired 1 gap", "unpaired 1 gap"}, "redis", 0, true},
			{"an inline request behind it", []string{"open", "lose C: GET a", reply, "+60ms", `c: PING\r\n`, "S: +PONG", "+60ms"}, []string{"unpaired 1 gap"}, shown, 0, true},
			{"synced again", []string{"open", "lose C: GET a", reply, "+60ms", "gap C: GET b", "S: $-1", "+100ms", "C: GET c", "S: $-1"}, []string{"unpaired 1 gap", "get success"}, "redis", 0, true},
			{"replies lost too", []string{"open", "lose C: GET a", reply, "+60ms", "gap S: +OK"}, []string{"unpaired 1 gap"}, shown, 0, true},
		} {
			test.name += "/" + reply[3:]
			test.playEnds(t)
		}
	}
}

// Half a request, and inline requests whose replies were lost, do not prove that a server is not Redis.
func TestLostPartIsNoVerdict(t *testing.T) {
	const half = `c: *2\r\n$3\r\nGET\r\n`
	for _, test := range []unaskedCase{
		{"rest of a request", []string{"open", half, `lose c: $1\r\na\r\n`}, nil, "", 0, true},
		{"rest of a request, known", []string{"open", half, `gap c: $1\r\na\r\n`}, nil, "", 0, true},
		{"rest of a request, known and answered", []string{"open", half, `gap c: $1\r\na\r\n`, "S: $-1"}, nil, "", 0, true},
		{"rest of an inline request", []string{"open", "c: GET ", `gap c: a\r\n`, "S: $-1"}, nil, "", 0, true},
		{"beginning of a request", []string{"open", `gap c: *2\r\n$3\r\nGET\r\n`, `c: $1\r\na\r\n`, "S: $-1"}, nil, "", 0, true},
		{"reply to an inline request", []string{"open", `c: PING\r\n`, "lose S: +PONG"}, []string{"unpaired 1 gap"}, "", 0, true},
		{"reply to an inline request, known", []string{"open", `c: PING\r\n`, "gap S: +PONG"}, []string{"unpaired 1 gap"}, "", 0, true},
		{"replies to inline requests", []string{"open", `c: PING\r\nGET a\r\n`, "gap S: +PONG", "S: $-1"}, []string{"unpaired 2 gap"}, "", 0, true},
		{"a request behind an inline one", []string{"open", `c: PING\r\n`, "lose C: GET a"}, []string{"unpaired 1 gap"}, "", 0, true},
		{"half a request in mid-stream", []string{"existing", "+100ms", half}, nil, "", 0, false},
	} {
		test.playEnds(t)
	}
}

// The server's close does not drop the requests that are held behind missing ones.
func TestRequestsHeldAtTheEnd(t *testing.T) {
	test := unaskedCase{
		"held", []string{"open", "C: GET a", "S: $-1", "lose C: GET b", "C: GET c"},
		[]string{"get success", "unpaired 1 gap"}, "redis", 0, true,
	}
	test.playEnds(t)
}

// After the loss of a part of a PROXY line, the next request is read as a request.
func TestPrefaceInAGap(t *testing.T) {
	runScripts(t, []wireCase{
		{"rest of the line", []string{"open", "c: PRO", `gap c: XY TCP4 1.2.3.4 1.2.3.5 1 2\r\n*1\r\n$4\r\nPING\r\n`, "S: +PONG", "+100ms", "C: GET a", "S: $-1"}, []string{"get success"}},
		{"end of the line", []string{"open", "c: PROXY TCP4 1.2.3.4", `gap c:  1.2.3.5 1 2\r\n*1\r\n$4\r\nPING\r\n`, "S: +PONG", "+100ms", "C: GET a", "S: $-1"}, []string{"get success"}},
	})
}

// If nothing is missing, each reply before the first request counts once as unsolicited.
func TestUnsolicited(t *testing.T) {
	const full = "S: -ERR max number of clients reached"
	for _, test := range []unaskedCase{
		{"refused", []string{"open", full}, nil, "redis", 1, false},
		{"refused twice", []string{"open", full, "S: -DENIED no"}, nil, "redis", 2, false},
		{"refused, replies lost", []string{"open", full, "+60ms", "gap S: -DENIED no"}, nil, "redis", 1, true},
		{"a greeting behind a refusal", []string{"open", full, "S: +HELLO"}, nil, "redis", 2, false},
		{"POP3", []string{"open", "S: +OK POP3 ready"}, nil, "not_redis", 1, false},
		{"POP3, a line behind it", []string{"open", "S: +OK POP3 ready", "+60ms", `c: QUIT\r\n`}, nil, "not_redis", 1, false},
		{"requests lost behind one", []string{"open", full, "+60ms", "C: PING", "gap C: GET a"}, []string{"unpaired 1 gap"}, "redis", 1, true},
		{"RESP behind a greeting", []string{"open", "S: +HELLO", "+60ms", "C: GET a", "S: $-1"}, []string{"get success"}, "redis", 1, false},
	} {
		test.playEnds(t)
	}
	for _, test := range []unaskedCase{
		{"a request behind the refusal", []string{"open", full, "+60ms", "C: PING", "server-close", "close"}, []string{"ping unanswered server_closed"}, "redis", 1, false},
		{"a request behind the end", []string{"open", full, "+60ms", "server-close", "C: PING", "close"}, nil, "redis", 1, false},
		{"a line behind the end", []string{"open", "S: +OK POP3 ready", "+60ms", "server-close", `c: QUIT\r\n`, "close"}, nil, "not_redis", 1, false},
	} {
		test.play(t)
	}
}

// It counts too if the end of the connection is not seen, and at the end of a replay.
func TestUnsolicitedWithoutAnEnd(t *testing.T) {
	script := []string{"open", "S: -ERR max number of clients reached", "S: +OK", "+60ms"}
	for name, end := range map[string]func(p *player){
		"replay":  func(p *player) { p.take(p.tracker.Flush()); p.take(p.tracker.Flush()) },
		"evicted": func(p *player) { p.tracker.table.limit, p.conn = 1, 8; p.line("open") },
		"listed":  func(p *player) { p.event(event.Event{Kind: event.Listed, Time: p.now + 1}) },
		"renamed": func(p *player) {
			p.tracker.options.Resolve = func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, false }
			p.tracker.Rename(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlayer(t)
			p.play(script...)
			end(p)
			assert.EqualValues(t, 2, p.tracker.Stats().Unsolicited)
			assert.Empty(t, p.got)
			p.line("close")
			assert.EqualValues(t, 2, p.tracker.Stats().Unsolicited)
		})
	}
}
