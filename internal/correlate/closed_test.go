package correlate

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
)

// closedCase is a script with the close of a server ("server-close"), and all that is counted of it.
type closedCase struct {
	name    string
	script  []string
	want    []string
	dropped uint64 // never run
	broken  uint64 // gaps
}

func runClosed(t *testing.T, role event.Role, cases []closedCase) {
	t.Helper()
	serverClose := map[event.Role]string{event.Client: "peer-close", event.Server: "leave"}[role]
	for _, test := range cases {
		t.Run(fmt.Sprintf("%s/role=%d", test.name, role), func(t *testing.T) {
			p := newPlayer(t)
			p.role = role
			for _, line := range test.script {
				if line == "server-close" {
					line = serverClose
				}
				if line == "vanish" { // the address is used again
					line = "open"
				}
				p.line(line)
			}
			assert.Equal(t, test.want, p.got)
			s := p.tracker.Stats()
			assert.Equal(t, test.dropped, s.Unexecuted, "never run")
			broken := uint64(0)
			for _, g := range s.Gaps {
				broken += g.Broken
			}
			assert.Equal(t, test.broken, broken, "gaps")
			assert.Zero(t, s.LostConnections)
			assert.Zero(t, p.tracker.held.used)
			assert.Zero(t, p.tracker.Outstanding())
		})
	}
}

// A request of which no event came is missed by the offsets, though the server closed before they were known. The ways of that close
// are those of the other end for a client, and of this one for a server.
func TestRequestLostBeforeTheServerClosed(t *testing.T) {
	const success, unanswered = "get success", "get unanswered server_closed"
	cases := []closedCase{
		{"answered before", []string{"open", "C: GET a", "S: $-1", "lose C: GET b", "server-close", "close"}, []string{success}, 0, 1},
		{"answered before, and closed later", []string{"open", "C: GET a", "S: $-1", "lose C: GET b", "server-close", "+60ms", "close"}, []string{success}, 0, 1},
		{"its close has no event", []string{"open", "C: GET a", "S: $-1", "lose C: GET b", "server-close", "+60ms", "vanish"}, []string{success}, 0, 1},
		{"known as a gap", []string{"open", "C: GET a", "S: $-1", "gap C: GET b", "server-close", "close"}, []string{success}, 0, 1},
		{"within a value", []string{"open", fmt.Sprintf(`c: *3\r\n$3\r\nSET\r\n$1\r\na\r\n$200\r\n%0100d`, 0), fmt.Sprintf("lose c: %0102d", 0), "server-close", "close"}, []string{"set unanswered server_closed"}, 0, 0},
		{"outstanding beside it", []string{"open", "C: GET a", "lose C: GET b", "server-close", "close"}, []string{unanswered}, 0, 1},
		{"another one behind it", []string{"open", "C: GET a", "S: $-1", "lose C: GET b", "C: GET c", "server-close", "close"}, []string{success, "unpaired 1 gap"}, 0, 1},
		{"nothing else", []string{"open", "lose C: GET a", "server-close", "close"}, nil, 0, 1},
		{"in mid-stream", []string{"existing", "+60ms", "C: GET a", "S: $-1", "lose C: GET b", "server-close", "close"}, []string{success}, 0, 1},
		{"behind QUIT", []string{"open", "C: QUIT", "S: +OK", "lose C: GET b", "server-close", "close"}, []string{"quit success"}, 0, 0},
		{"of a replica", []string{"open", "C: PSYNC ? -1", "S: +CONTINUE", "lose C: REPLCONF ACK 1", "server-close", "close"}, []string{"psync success"}, 0, 1},
		{"of a transaction", []string{"open", "C: MULTI", "S: +OK", "C: SET a 1", "S: +QUEUED", "lose C: EXEC", "server-close", "close"}, []string{"multi success"}, 1, 1},
		{"behind one that blocks", []string{"open", "C: BLPOP l 0", "lose C: GET b", "server-close", "close"}, []string{"blpop unanswered server_closed"}, 0, 0},
		{"no request", []string{"open", "C: GET a", "S: $-1", "server-close", "close"}, []string{success}, 0, 0},
		{"not Redis", []string{"open", "C: GET a", "S: HTTP/1.1 400 Bad Request", "lose C: GET b", "server-close", "close"}, nil, 1, 0},
	}
	runClosed(t, event.Client, append(cases,
		closedCase{"reset", []string{"open", "C: GET a", "S: $-1", "lose C: GET b", "reset", "close"}, []string{success}, 0, 1},
		closedCase{"the network broke", []string{"open", "C: GET a", "S: $-1", "lose C: GET b", "broken", "close"}, []string{success}, 0, 1},
		closedCase{"the client had shut down", []string{"open", "C: GET a", "S: $-1", "lose C: GET b", "half-close", "peer-close", "close"}, []string{success}, 0, 1},
		closedCase{"the client closes without an event", []string{"open", "C: GET a", "S: $-1", "lose C: GET b", "leave", "+60ms", "vanish"}, []string{success}, 0, 1},
	))
	runClosed(t, event.Server, append(cases,
		closedCase{"the server has shut down only", []string{"open", "C: GET a", "S: $-1", "lose C: GET b", "half-close", "close"}, []string{success}, 0, 1},
		closedCase{"not read by the program", []string{"open", "C: GET a", "S: $-1", "reset", "+60ms", "vanish"}, []string{success}, 0, 0},
	))
}

// A request that is sent behind the server's close cannot have run; one that was sent before and is reported later was outstanding.
func TestRequestsBehindTheServersClose(t *testing.T) {
	const success, unanswered = "get success", "get unanswered server_closed"
	cases := []closedCase{
		{"behind it", []string{"open", "C: GET a", "S: $-1", "server-close", "C: GET b", "close"}, []string{success}, 1, 0},
		{"a pipeline", []string{"open", "C: GET a", "server-close", "C: GET b", "C: GET b", "C: QUIT", "close"}, []string{unanswered}, 3, 0},
		{"the first request", []string{"open", "server-close", "C: GET a", "close"}, nil, 1, 0},
		{"half a request", []string{"open", "C: GET a", "S: $-1", "server-close", `c: *2\r\n$3\r\nGET\r\n`, "close"}, []string{success}, 0, 0},
		{"the second half", []string{"open", "C: GET a", "S: $-1", `c: *2\r\n$3\r\nGET\r\n`, "server-close", `c: $1\r\na\r\n`, "close"}, []string{success}, 1, 0},
		{"malformed", []string{"open", "C: GET a", "S: $-1", "server-close", `c: *2\r\nx\r\n`, `c: more\r\n`, "close"}, []string{success}, 0, 0},
		{"lost", []string{"open", "C: GET a", "S: $-1", "server-close", "C: GET b", "lose C: GET b", "close"}, []string{success}, 1, 1},
		{"out of order", []string{"open", "C: GET a", "S: $-1", "later C: GET b", "server-close", "C: GET c", "now", "close"}, []string{success, unanswered}, 1, 0},
		{"sent before", []string{"open", "C: GET a", "S: $-1", "later C: GET b", "server-close", "now", "close"}, []string{success, unanswered}, 0, 0},
		{"sent before, one of two", []string{"open", "C: GET a", "later C: GET b", "server-close", "now", "C: GET c", "close"}, []string{unanswered, unanswered}, 1, 0},
		{"sent before, behind one that blocks", []string{"open", "C: BLPOP l 0", "later C: GET b", "server-close", "now", "close"}, []string{"blpop unanswered server_closed"}, 1, 0},
		{"sent before, queued", []string{"open", "C: MULTI", "S: +OK", "later C: GET b", "server-close", "now", "close"}, []string{"multi success"}, 1, 0},
		{"sent before, EXEC", []string{"open", "C: MULTI", "S: +OK", "later C: EXEC", "server-close", "now", "close"}, []string{"multi success", "exec unanswered server_closed"}, 0, 0},
		{"sent before, by who killed itself", []string{"open", "C: CLIENT KILL 1.2.3.4:5", "S: +OK", "later C: GET b", "server-close", "now", "close"}, []string{"client|kill success"}, 1, 0},
		{"replies are still to be read", []string{"open", "C: GET a", "later S: $-1", "server-close", "C: GET b", "now", "close"}, []string{success}, 1, 0},
		{"of a replica", []string{"open", "C: PSYNC ? -1", "S: +CONTINUE", "server-close", "C: REPLCONF ACK 1", "close"}, []string{"psync success"}, 1, 0},
		{"desynced", []string{"open", "gap C: GET a", "C: GET b", "server-close", "C: GET c", "close"}, []string{"unpaired 1 gap", "unpaired 1 gap"}, 0, 1},
	}
	runClosed(t, event.Client, cases)
	runClosed(t, event.Server, append(cases,
		closedCase{"the server has shut down, and reads on", []string{"open", "C: GET a", "S: $-1", "half-close", "C: GET b", "close"}, []string{success, unanswered}, 0, 0},
	))
}

// So it is with requests behind the reply to QUIT.
func TestRequestsBehindQuit(t *testing.T) {
	for _, role := range []event.Role{event.Client, event.Server} {
		runClosed(t, role, []closedCase{
			{"behind the reply", []string{"open", "C: QUIT", "S: +OK", "C: GET a", "C: GET b", "server-close", "C: GET c", "close"}, []string{"quit success"}, 3, 0},
			{"behind the request", []string{"open", "C: QUIT", "C: GET a", "S: +OK", "C: GET b", "close"}, []string{"quit success"}, 2, 0},
			{"half of one", []string{"open", "C: QUIT", `c: *2\r\n$3\r\nGET\r\n`, "S: +OK", `c: $1\r\na\r\n`, "close"}, []string{"quit success"}, 1, 0},
			{"in one write, without replies", []string{"open", "C: CLIENT REPLY OFF", "+2s", `c: *1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n`, "C: PING", "close"}, []string{"client|reply silent", "quit silent"}, 2, 0},
			{"a gap", []string{"open", "C: QUIT", "S: +OK", "C: GET a", "gap C: GET b", "C: GET c", "close"}, []string{"quit success"}, 1, 0},
			{"the server reads on", []string{"open", "C: QUIT", "S: +OK", "C: GET a", "S: $-1", "+60ms", "C: GET b", "S: $-1", "close"}, []string{"quit success", "unpaired 1 unsolicited", "get success"}, 1, 0},
		})
	}
}
