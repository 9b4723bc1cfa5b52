package correlate

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
)

// endCase is a script that ends a connection as seen at one of its ends, what comes of it, and how many commands are known never to have run.
type endCase struct {
	name    string
	script  []string
	want    []string
	dropped uint64
}

func runEnds(t *testing.T, role event.Role, cases []endCase) {
	t.Helper()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayer(t)
			p.role = role
			assert.Equal(t, test.want, p.play(test.script...))
			assert.Equal(t, test.dropped, p.tracker.Stats().Unexecuted, "never run")
			assert.Empty(t, p.tracker.conns)
		})
	}
}

// What the client gave up is no error; what the other end or the network broke while the client waited is one.
func TestWhoEndedItAtTheClient(t *testing.T) {
	const gone, broke, cut = "get unanswered client_closed", "get unanswered server_closed", "get unanswered network"
	runEnds(t, event.Client, []endCase{
		{"FIN by the client", []string{"open", "C: GET a", "leave", "peer-close", "close"}, []string{gone}, 0},
		{"RST by the client", []string{"open", "C: GET a", "close"}, []string{gone}, 0},
		{"FIN by the client, RST in answer", []string{"open", "C: GET a", "leave", "reset", "close"}, []string{gone}, 0},
		{"FIN by the server", []string{"open", "C: GET a", "peer-close", "leave", "close"}, []string{broke}, 0},
		{"RST by the server", []string{"open", "C: GET a", "reset", "close"}, []string{broke}, 0},
		{"nobody answered", []string{"open", "C: GET a", "broken", "close"}, []string{cut}, 0},
		{"nobody answered the client's FIN", []string{"open", "C: GET a", "leave", "broken", "close"}, []string{gone}, 0},
		{"half-close, and the server closes", []string{"open", "C: GET a", "half-close", "peer-close", "close"}, []string{broke}, 0},
		{"half-close, and the server resets", []string{"open", "C: GET a", "half-close", "reset", "close"}, []string{broke}, 0},
		{"half-close, close, and then the server", []string{"open", "C: GET a", "half-close", "left-close", "close"}, []string{gone}, 0},
		{"half-close and close", []string{"open", "C: GET a", "half-close", "close"}, []string{gone}, 0},
		{"half-close that is answered", []string{"open", "C: GET a", "half-close", "S: $-1", "peer-close", "close"}, []string{"get success"}, 0},
		{"the server closed, and what it had sent is left unread", []string{"open", "C: GET a", "C: GET b", "S: $-1", "lose S: $-1", "peer-close", "close 5"}, []string{"get success", "unpaired 1 gap"}, 0},
	})
}

func TestWhoEndedItAtTheServer(t *testing.T) {
	const gone, broke, cut = "get unanswered client_closed", "get unanswered server_closed", "get unanswered network"
	runEnds(t, event.Server, []endCase{
		{"FIN by the client", []string{"open", "C: GET a", "peer-close", "half-close", "close"}, []string{gone}, 0},
		{"RST by the client", []string{"open", "C: GET a", "reset", "close"}, []string{gone}, 0},
		{"FIN by the server", []string{"open", "C: GET a", "leave", "peer-close", "close"}, []string{broke}, 0},
		{"RST by the server", []string{"open", "C: GET a", "close 9"}, []string{broke}, 0},
		{"the client is silent for too long", []string{"open", "C: GET a", "broken", "close"}, []string{cut}, 0},
		{"answered after the client's FIN", []string{"open", "C: GET a", "peer-close", "S: $-1", "half-close", "close"}, []string{"get success"}, 0},
	})
}

// A client that leaves unread what the server had sent before it closed gave up, whoever closed first.
func TestServerClosedAndTheClientDidNotRead(t *testing.T) {
	for _, test := range []struct {
		end  string
		want string
	}{{"close 5", "get unanswered client_closed"}, {"close", "get unanswered server_closed"}} {
		p := newPlayer(t)
		p.play("open", "C: GET a")
		p.event(event.Event{Kind: event.PeerClosed, Seq: p.seq[event.Request], ReplySeq: p.seq[event.Reply] + 5})
		assert.Equal(t, []string{test.want}, p.play(test.end), test.end)
	}
	p := newPlayer(t) // a write of the client may have failed by the reset
	p.play("open", "C: GET a")
	p.event(event.Event{Kind: event.PeerClosed, Seq: p.seq[event.Request], ReplySeq: p.seq[event.Reply] + 5})
	assert.Equal(t, []string{"get unanswered server_closed"}, p.play("reset", "close 5"))
}

func TestWaysOfGivingUp(t *testing.T) {
	const ack = `s: *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`
	runEnds(t, event.Client, []endCase{
		{"QUIT without its reply", []string{"open", "C: QUIT", "leave", "close"}, []string{"quit unanswered client_closed"}, 0},
		{"QUIT that a proxy answers by closing", []string{"open", "C: GET a", "C: QUIT", "S: $-1", "peer-close", "leave", "close"}, []string{"get success", "quit success"}, 0},
		{"QUIT and more, answered by closing", []string{"open", "C: QUIT", "C: GET a", "peer-close", "close"}, []string{"quit success"}, 1},
		{"QUIT, and the network breaks", []string{"open", "C: QUIT", "broken", "close"}, []string{"quit unanswered network"}, 0},
		{"UNSUBSCRIBE", []string{"open", "C: SUBSCRIBE a", ack, "C: UNSUBSCRIBE", "leave", "close"}, []string{"subscribe success", "unsubscribe unanswered client_closed"}, 0},
		{"a worker that waited", []string{"open", "C: BRPOP q 0", "+1s", "leave", "close"}, []string{"brpop unanswered client_closed"}, 0},
		{"never asked for their replies", []string{"open", "C: SET a 1", "C: SET a 2", "close 10"}, []string{"set unanswered client_closed", "set unanswered client_closed"}, 0},
		{"a transaction", []string{"open", "C: MULTI", "C: SET a 1", "C: EXEC", "close"}, []string{"multi unanswered client_closed", "set unanswered client_closed", "exec unanswered client_closed"}, 0},
		{"a transaction without its end", []string{"open", "C: MULTI", "S: +OK", "C: SET a 1", "S: +QUEUED", "C: SET a 2", "close"}, []string{"multi success"}, 2},
		{"a transaction that is discarded", []string{"open", "C: MULTI", "C: SET a 1", "C: DISCARD", "C: GET a", "close"}, []string{"multi unanswered client_closed", "discard unanswered client_closed", "get unanswered client_closed"}, 1},
	})
}

// Behind a command that blocks the server has run what it can have run: nothing if it is certain that it waits, what it has answered as far as
// the bytes that are left unread may show it; otherwise it is not known, and the commands count as lost.
func TestBehindACommandThatBlocks(t *testing.T) {
	const one, other = "blpop unanswered client_closed", "get unanswered client_closed"
	runEnds(t, event.Client, []endCase{
		{"both were served", []string{"open", "C: BLPOP l 0", "C: BLPOP l 0", "+1s", "close 36"}, []string{one, one}, 0},
		{"in one write", []string{"open", `c: *3\r\n$5\r\nBLPOP\r\n$1\r\nl\r\n$1\r\n0\r\n*3\r\n$5\r\nBLPOP\r\n$1\r\nl\r\n$1\r\n0\r\n`, "+1s", "close 36"}, []string{one, one}, 0},
		{"none was served", []string{"open", "C: BLPOP l 0", "C: BLPOP l 0", "+1s", "close"}, []string{one}, 1},
		{"one and what is behind", []string{"open", "C: BLPOP l 0", "C: GET a", "C: GET b", "C: BLPOP l 0", "C: GET c", "+1s", "close 28"}, []string{one, other, other, one, "unpaired 1 client_closed"}, 0},
		{"not enough is left for what is behind", []string{"open", "C: SET a 1", "C: BLPOP l 0", "C: GET a", "C: GET b", "+60ms", "close 5"}, []string{"set unanswered client_closed", one}, 2},
		{"more was left than is counted", []string{"open", "C: BLPOP l 0", "C: GET a", "+1s", "close 255"}, []string{one, other}, 0},
		{"perhaps enough is left", []string{"open", "C: SET a 1", "C: BLPOP l 0", "C: GET a", "C: GET b", "+60ms", "close 12"}, []string{"set unanswered client_closed", one, "unpaired 2 client_closed"}, 0},
		{"of three the last", []string{"open", "C: BLPOP l 0", "C: BLPOP l 0", "C: BLPOP l 0", "+1s", "close 18"}, []string{one, one, "unpaired 1 client_closed"}, 0},
		{"what is left may be a push", []string{"open", "C: HELLO 3", `s: %1\r\n+proto\r\n:3\r\n`, "C: BLPOP l 0", "C: GET a", "+1s", "close 18"}, []string{"hello success", one, "unpaired 1 client_closed"}, 0},
		{"at once: nobody knows", []string{"open", "C: RPUSH l x", "C: BLPOP l 0", "C: GET a", "C: GET b", "C: QUIT", "C: GET c", "leave", "+1s", "close"}, []string{"rpush unanswered client_closed", one, "unpaired 3 client_closed"}, 1},
		{"a blocked one inside of MULTI does not block", []string{"open", "C: MULTI", "C: BLPOP l 0", "C: EXEC", "C: GET a", "+1s", "close"}, []string{"multi unanswered client_closed", one, "exec unanswered client_closed", other}, 0},
		{"the server closes", []string{"open", "C: BLPOP l 0", "C: GET a", "peer-close", "close"}, []string{"blpop unanswered server_closed"}, 1},
		{"XREADGROUP", []string{"open", "C: XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "C: GET a", "+1s", "close"}, []string{"xreadgroup unanswered client_closed"}, 1},
		{"WAIT", []string{"open", "C: WAIT 1 0", "C: GET a", "+1s", "close"}, []string{"wait unanswered client_closed"}, 1},
		{"BZPOPMIN", []string{"open", "C: BZPOPMIN z 0", "C: BLMOVE a b LEFT LEFT 0", "+1s", "close 40"}, []string{"bzpopmin unanswered client_closed", "blmove unanswered client_closed"}, 0},
		{"CLIENT PAUSE blocks nobody for good", []string{"open", "C: CLIENT PAUSE 100000", "S: +OK", "C: GET a", "C: GET a", "+1s", "close"}, []string{"client|pause success", other, other}, 0},
	})
	runEnds(t, event.Server, []endCase{
		{"the client's FIN: what was run was answered", []string{"open", "C: BLPOP l 0", "C: GET a", "peer-close", "half-close", "close"}, []string{one}, 1},
		{"the client's RST at once: nobody knows", []string{"open", "C: BLPOP l 0", "C: GET a", "reset", "close"}, []string{one, "unpaired 1 client_closed"}, 0},
		{"the client's RST after an answer", []string{"open", "C: SET a 1", "C: BLPOP l 0", "C: GET a", "S: +OK", "reset", "close"}, []string{"set success", one}, 1},
		{"the client's RST while it waits", []string{"open", "C: BLPOP l 0", "C: GET a", "+1s", "reset", "close"}, []string{one}, 1},
	})
}
