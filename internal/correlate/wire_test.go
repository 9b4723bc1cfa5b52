package correlate

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// wireCase is a script and what comes of it.
type wireCase struct {
	name   string
	script []string
	want   []string
}

func runScripts(t *testing.T, cases []wireCase) {
	t.Helper()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, newPlayer(t).play(test.script...))
		})
	}
}

func TestRequests(t *testing.T) {
	runScripts(t, []wireCase{
		{"one", []string{"open", "C: SET a 1", "S: +OK"}, []string{"set success"}},
		{"error", []string{"open", "C: LPUSH a 1", "S: -WRONGTYPE Operation against"}, []string{"lpush error WRONGTYPE"}},
		{"blob error", []string{"open", "C: GET a", `s: !10\r\nOOM no way\r\n`}, []string{"get error OOM"}},
		{"any case, binary name", []string{"open", `c: *1\r\n$4\r\nPi\x00g\r\n*1\r\n$4\r\npInG\r\n`, "S: -ERR unknown command", "S: +PONG"}, []string{"other error ERR", "ping success"}},
		{"pipeline", []string{"open", "C: SET a 1", "C: GET a", "C: INCR a", `s: +OK\r\n$1\r\n1\r\n:2\r\n`}, []string{"set success", "get success", "incr success"}},
		{"split at every place", []string{"open", "c: *2\\r", "c: \\n$3\\r\\nG", "c: ET\\r\\n$1\\r\\na\\r", "c: \\n", "s: $", "s: 1\\r\\n", "s: x\\r", "s: \\n"}, []string{"get success"}},
		{"inline", []string{"open", `c: PING\r\n`, "S: +PONG", `c: $4\r\nPING\r\n`, "S: -ERR unknown command", "S: +PONG"}, []string{"ping success", "other error ERR", "ping success"}},
		{"empty requests have no reply", []string{"open", `c: \r\n*0\r\n*-1\r\n`, "C: PING", "S: +PONG"}, []string{"ping success"}},
		{"value that looks like RESP", []string{"open", `c: *3\r\n$3\r\nSET\r\n$1\r\na\r\n$14\r\n*1\r\n$4\r\nPING\r\n\r\n`, "C: GET a", "S: +OK", `s: $13\r\n-ERR\r\n>3\r\n+OK\r\n\r\n`}, []string{"set success", "get success"}},
		{"subcommand", []string{"open", "C: CONFIG GET maxmemory", "S: *0", "C: CONFIG", "S: -ERR wrong number", "C: CONFIG NONSENSE", "S: -ERR unknown subcommand"}, []string{"config|get success", "config error ERR", "other error ERR"}},
		{"nothing counts behind QUIT", []string{"open", "C: GET a", "C: QUIT", "C: GET b", "S: $-1", "S: +OK", "peer-close", "close"}, []string{"get success", "quit success"}},
		{"nothing counts behind a CLIENT KILL of oneself", []string{"open", "C: CLIENT KILL ID 1", "C: GET a", "S: :1", "peer-close", "close"}, []string{"client|kill success"}},
		{"CLIENT KILL of another", []string{"open", "C: CLIENT KILL ID 1", "C: GET a", "C: GET b", "S: :1", "S: +1", "peer-close", "close"}, []string{"client|kill success", "get success", "get unanswered server_closed"}},
		{"nothing counts behind a protocol error", []string{"open", "C: GET a", `c: *1\r\n+4\r\n`, "C: GET b", "S: $-1", "S: -ERR Protocol error: expected '$', got '+'", "close"}, []string{"get success"}},
		{"protocol error where we saw a request", []string{"open", `c: *1\rX$4\rXPINGXX`, "C: GET b", "S: -ERR Protocol error: invalid CRLF", "close"}, nil},
		{"POST closes", []string{"open", "C: GET a", `c: POST / HTTP/1.1\r\nHost: x\r\n\r\n`, "S: $-1", "peer-close", "close"}, []string{"get success"}},
		{"HTTP on a web server's port", []string{"open", `c: GET / HTTP/1.1\r\nAccept: x\r\n\r\n`, `s: HTTP/1.1 200 OK\r\n\r\n`, "close"}, nil},
		{"inline without any reply is not Redis", []string{"open", `c: EHLO me\r\n`, "close"}, nil},
		{"TLS", []string{"open", "c: \x16\x03\x01\x02\x00", "s: \x16\x03\x03", "close"}, nil},
		{"NOAUTH", []string{"open", "C: GET a", "S: -NOAUTH Authentication required."}, []string{"get error NOAUTH"}},
		{"redirections", []string{"open", "C: GET a", "S: -MOVED 1 x:1", "C: ASKING", "S: +OK", "C: GET a", "S: -ASK 1 x:1"}, []string{"get error MOVED", "asking success", "get error ASK"}},
		{"DEBUG that kills", []string{"open", "C: DEBUG SEGFAULT", "peer-close"}, []string{"debug unanswered server_closed"}},
	})
}

func TestReplies(t *testing.T) {
	runScripts(t, []wireCase{
		{"RESP3 types", []string{"open", "C: GET a", "S: _", "C: GET a", "S: #t", "C: GET a", "S: ,1.5", "C: GET a", "S: (123", "C: GET a", `s: =7\r\ntxt:abc\r\n`, "C: GET a", `s: %1\r\n+a\r\n:1\r\n`, "C: GET a", `s: ~1\r\n:1\r\n`},
			[]string{"get success", "get success", "get success", "get success", "get success", "get success", "get success"}},
		{"attribute", []string{"open", "C: GET a", `s: |1\r\n+ttl\r\n:1\r\n$1\r\nx\r\n`}, []string{"get success"}},
		{"push before, between and after", []string{"open", "C: GET a", "C: GET b", `s: >2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n$1\r\nx\r\n>2\r\n$10\r\ninvalidate\r\n_\r\n`, "S: $-1", `s: >2\r\n$10\r\ninvalidate\r\n_\r\n`}, []string{"get success", "get success"}},
		{"push within an array", []string{"open", "C: MGET a b c", "C: LPUSH a 1", "C: GET a", `s: *3\r\n$1\r\nA\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\nkey:1\r\n$-1\r\n$1\r\nC\r\n`, "S: -WRONGTYPE no", "S: $-1"}, []string{"mget success", "lpush error WRONGTYPE", "get success"}},
		{"push within a nested array, a map and an attribute", []string{"open", "C: EVAL x 0", "C: HGETALL a", "C: GET a", "C: LPUSH a 1", `s: *1\r\n*2\r\n:1\r\n>1\r\n-a\r\n:2\r\n%1\r\n+a\r\n>2\r\n+invalidate\r\n_\r\n+b\r\n|1\r\n+a\r\n>1\r\n+p\r\n:1\r\n$-1\r\n-WRONGTYPE no\r\n`}, []string{"eval success", "hgetall success", "get success", "lpush error WRONGTYPE"}},
		{"push within EXEC's array", []string{"open", "C: MULTI", "C: MGET a b", "C: LPUSH a 1", "C: EXEC", `s: +OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n>2\r\n+invalidate\r\n_\r\n*2\r\n$-1\r\n>2\r\n+invalidate\r\n_\r\n$-1\r\n>2\r\n+invalidate\r\n_\r\n-WRONGTYPE no\r\n`}, []string{"multi success", "mget success", "lpush error WRONGTYPE", "exec success"}},
		{"deep", []string{"open", "C: EVAL x 0", "C: LPUSH a 1", "C: GET a", "s: " + strings.Repeat(`*1\r\n`, 7000) + `:1\r\n`, "S: -WRONGTYPE no", "S: $-1"}, []string{"eval success", "lpush error WRONGTYPE", "get success"}},
		{"error at depth", []string{"open", "C: EVAL x 0", "C: GET a", "s: " + strings.Repeat(`*2\r\n:1\r\n`, 100) + `-ERR inner\r\n`, "S: $-1"}, []string{"eval error other", "get success"}},
		{"HELLO switches", []string{"open", "C: HELLO 3 AUTH u p", `s: %1\r\n+proto\r\n:3\r\n`, "C: HELLO 9", "S: -NOPROTO unsupported"}, []string{"hello success", "hello error NOPROTO"}},
		{"array that looks like a message", []string{"open", "C: LRANGE a 0 -1", `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n`}, []string{"lrange success"}},
		{"script with a nested error", []string{"open", "C: EVAL x 0", `s: *2\r\n:1\r\n-ERR inner\r\n`, "C: LRANGE a 0 1", `s: *1\r\n-ERR x\r\n`}, []string{"eval error other", "lrange success"}},
		{"max clients", []string{"open", "S: -ERR max number of clients reached", "+60ms", "close"}, nil},
		{"reply without a request seen", []string{"open", "C: GET a", "S: +1", "S: +2", "+60ms", "C: GET b", "S: +3"}, []string{"get success", "unpaired 1 unsolicited", "get success"}},
		{"reply before its request", []string{"open", "later C: GET a", "S: +1", "now"}, []string{"get success"}},
		{"two replies before their requests", []string{"open", "later C: GET a", "later C: SET a 1", "S: $-1", "S: +OK", "now"}, []string{"get success", "set success"}},
		{"malformed from the first byte", []string{"open", "C: GET a", "s: HTTP/1.1 400 Bad Request\\r\\n", "close"}, nil},
		{"malformed later", []string{"open", "C: GET a", "S: $-1", "C: GET a", `s: HTTP/1.1 400 Bad Request\r\n`, "close"}, []string{"get success", "unpaired 1 malformed"}},
	})
}

func TestReplyModes(t *testing.T) {
	runScripts(t, []wireCase{
		{"off and on", []string{"open", "C: CLIENT REPLY OFF", "C: GET a", "C: NONSENSE", "C: CLIENT REPLY ON", "S: +OK", "C: GET a", "S: $-1"},
			[]string{"client|reply silent", "get silent", "other silent", "client|reply success", "get success"}},
		{"skip", []string{"open", "C: CLIENT REPLY SKIP", "C: SET a 1", "C: GET a", "S: $-1"}, []string{"client|reply silent", "set silent", "get success"}},
		{"skip before MULTI silences only it", []string{"open", "C: CLIENT REPLY SKIP", "C: MULTI", "C: GET a", "S: +QUEUED", "C: EXEC", `s: *1\r\n$-1\r\n`}, []string{"client|reply silent", "multi silent", "get success", "exec success"}},
		{"order behind outstanding ones", []string{"open", "C: GET a", "C: CLIENT REPLY OFF", "C: SET a 1", "S: $-1", "+1s"}, []string{"get success", "client|reply silent", "set silent"}},
		{"skip then on", []string{"open", "C: CLIENT REPLY SKIP", "C: CLIENT REPLY ON", "S: +OK"}, []string{"client|reply silent", "client|reply success"}},
		{"bad mode", []string{"open", "C: CLIENT REPLY MAYBE", "S: -ERR syntax error"}, []string{"client|reply error ERR"}},
		{"off inside MULTI cuts the array", []string{"open", "C: MULTI", "S: +OK", "C: SET a 1", "S: +QUEUED", "C: CLIENT REPLY OFF", "S: +QUEUED", "C: GET a", "S: +QUEUED", "C: EXEC", `s: *3\r\n+OK\r\n`, "C: GET b", "C: CLIENT REPLY ON", "S: +OK"},
			[]string{"multi success", "set success", "client|reply silent", "get silent", "exec success", "get silent", "client|reply success"}},
		{"off inside MULTI with requests behind", []string{"open", "C: MULTI", "C: CLIENT REPLY OFF", "C: EXEC", "C: GET b", "C: CLIENT REPLY ON", "C: PING", `s: +OK\r\n+QUEUED\r\n*1\r\n+OK\r\n+PONG\r\n`},
			[]string{"multi success", "client|reply silent", "exec success", "get silent", "client|reply success", "ping success"}},
		{"skip inside MULTI", []string{"open", "C: MULTI", "C: CLIENT REPLY SKIP", "C: EXEC", "C: GET b", "C: GET c", `s: +OK\r\n+QUEUED\r\n*1\r\n$-1\r\n`},
			[]string{"multi success", "client|reply silent", "exec success", "get silent", "get success"}},
		{"on inside a silenced MULTI", []string{"open", "C: CLIENT REPLY OFF", "C: MULTI", "C: SET a 1", "C: CLIENT REPLY ON", "C: GET a", "C: EXEC", "C: PING", `s: +OK\r\n$-1\r\n+PONG\r\n`},
			[]string{"client|reply silent", "multi silent", "set silent", "client|reply success", "get success", "exec success", "ping success"}},
		{"refused inside MULTI", []string{"open", "C: MULTI", "S: +OK", "C: CLIENT REPLY OFF", "S: -ERR not allowed", "C: EXEC", "S: -EXECABORT Transaction"}, []string{"multi success", "client|reply error ERR", "exec error EXECABORT"}},
		{"RESET ends it", []string{"open", "C: CLIENT REPLY OFF", "C: RESET", "S: +RESET", "C: GET a", "S: $-1"}, []string{"client|reply silent", "reset success", "get success"}},
		{"acknowledgements in spite of it", []string{"open", "C: CLIENT REPLY OFF", "C: SUBSCRIBE a", `s: *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`}, []string{"client|reply silent", "subscribe silent"}},
		{"off behind a refused MULTI", []string{"open", "C: MULTI x", "C: CLIENT REPLY OFF", "C: GET a", "C: CLIENT REPLY ON", `s: -ERR wrong number of arguments\r\n+OK\r\n`}, []string{"multi error ERR", "client|reply silent", "get silent", "client|reply success"}},
		{"skip behind a refused EXEC", []string{"open", "C: MULTI", "C: EXEC x", "C: CLIENT REPLY SKIP", "C: EXEC", `s: +OK\r\n-ERR wrong number\r\n+QUEUED\r\n-EXECABORT x\r\n`}, []string{"multi success", "exec error ERR", "exec error EXECABORT"}},
		{"skip before RESET", []string{"open", "C: CLIENT REPLY SKIP", "C: RESET", "C: GET a", "S: $-1"}, []string{"client|reply silent", "reset silent", "get success"}},
		{"RESET that the server does not know", []string{"open", "C: CLIENT REPLY OFF", "C: RESET", "C: GET a", "C: CLIENT REPLY ON", "S: +OK"}, []string{"client|reply silent", "reset silent", "get silent", "client|reply success"}},
		{"refused while subscribed", []string{"open", "C: SUBSCRIBE a", `s: *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`, "C: CLIENT REPLY OFF", "C: PING", "C: CLIENT REPLY SKIP", "C: UNSUBSCRIBE", "C: GET a",
			`s: -ERR Can't execute\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n-ERR Can't execute\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n$-1\r\n`},
			[]string{"subscribe success", "client|reply error ERR", "ping success", "client|reply error ERR", "unsubscribe success", "get success"}},
		{"on refused while subscribed in silence", []string{"open", "C: CLIENT REPLY OFF", "C: SUBSCRIBE a", `s: *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`, "+60ms", "C: CLIENT REPLY ON", "C: RESET", "S: +RESET", "C: GET a", "S: $-1"},
			[]string{"client|reply silent", "subscribe silent", "client|reply silent", "reset success", "get success"}},
		{"obeyed while subscribed in RESP3", []string{"open", "C: HELLO 3", `s: %1\r\n+proto\r\n:3\r\n`, "C: SUBSCRIBE a", `s: >3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`, "C: CLIENT REPLY SKIP", "C: GET a", "C: PING", "S: +PONG"},
			[]string{"hello success", "subscribe success", "client|reply silent", "get silent", "ping success"}},
		{"skip refused", []string{"open", "C: CLIENT REPLY SKIP", "C: GET a", "S: -NOPERM no", "S: $-1", "C: SET a 1", "S: +OK", "+60ms"}, []string{"client|reply error NOPERM", "get success", "set success"}},
		{"QUIT while off", []string{"open", "C: CLIENT REPLY OFF", "C: QUIT", "C: GET a", "close"}, []string{"client|reply silent", "quit silent"}},
	})
}

func TestTransactions(t *testing.T) {
	runScripts(t, []wireCase{
		{"elements", []string{"open", "C: MULTI", "S: +OK", "C: SET a 1", "S: +QUEUED", "C: LPUSH a 1", "S: +QUEUED", "C: EXEC", `s: *2\r\n+OK\r\n-WRONGTYPE no\r\n`},
			[]string{"multi success", "set success", "lpush error WRONGTYPE", "exec success"}},
		{"pipelined", []string{"open", "C: MULTI", "C: SET a 1", "C: EXEC", "C: GET a", `s: +OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n1\r\n`}, []string{"multi success", "set success", "exec success", "get success"}},
		{"array in pieces", []string{"open", "C: MULTI", "S: +OK", "C: GET a", "S: +QUEUED", "C: GET b", "S: +QUEUED", "C: EXEC", "s: *", `s: 2\r`, `s: \n$1\r\nx`, `s: \r\n`, "S: $-1"}, []string{"multi success", "get success", "get success", "exec success"}},
		{"nested arrays", []string{"open", "C: MULTI", "S: +OK", "C: LRANGE a 0 1", "S: +QUEUED", "C: GET b", "S: +QUEUED", "C: EXEC", `s: *2\r\n*2\r\n+a\r\n+b\r\n$-1\r\n`}, []string{"multi success", "lrange success", "get success", "exec success"}},
		{"empty", []string{"open", "C: MULTI", "S: +OK", "C: EXEC", "S: *0", "C: GET a", "S: $-1"}, []string{"multi success", "exec success", "get success"}},
		{"watch failed", []string{"open", "C: MULTI", "S: +OK", "C: SET a 1", "S: +QUEUED", "C: EXEC", "S: *-1", "C: GET a", "S: $-1"}, []string{"multi success", "exec success", "get success"}},
		{"watch failed in RESP3", []string{"open", "C: MULTI", "S: +OK", "C: SET a 1", "S: +QUEUED", "C: EXEC", "S: _", "C: GET a", "S: $-1"}, []string{"multi success", "exec success", "get success"}},
		{"rejected at queueing", []string{"open", "C: MULTI", "S: +OK", "C: SET a", "S: -ERR wrong number of arguments", "C: GET a", "S: +QUEUED", "C: EXEC", "S: -EXECABORT Transaction discarded", "C: PING", "S: +PONG"},
			[]string{"multi success", "set error ERR", "exec error EXECABORT", "ping success"}},
		{"EXEC redirected", []string{"open", "C: MULTI", "S: +OK", "C: GET a", "S: +QUEUED", "C: EXEC", "S: -MOVED 1 x:1", "C: PING", "S: +PONG"}, []string{"multi success", "exec error MOVED", "ping success"}},
		{"EXEC with arguments on 6.0", []string{"open", "C: MULTI", "S: +OK", "C: GET a", "S: +QUEUED", "C: EXEC x", "S: -ERR wrong number", "C: EXEC", "S: -EXECABORT Transaction"}, []string{"multi success", "exec error ERR", "exec error EXECABORT"}},
		{"discard", []string{"open", "C: MULTI", "S: +OK", "C: SET a 1", "S: +QUEUED", "C: DISCARD", "S: +OK", "C: GET a", "S: $-1"}, []string{"multi success", "discard success", "get success"}},
		{"reset", []string{"open", "C: MULTI", "S: +OK", "C: SET a 1", "S: +QUEUED", "C: RESET", "S: +RESET", "C: GET a", "S: $-1"}, []string{"multi success", "reset success", "get success"}},
		{"quit", []string{"open", "C: MULTI", "S: +OK", "C: SET a 1", "S: +QUEUED", "C: QUIT", "S: +OK", "close"}, []string{"multi success", "quit success"}},
		{"QUIT refused", []string{"open", "C: QUIT", "C: GET a", "S: -NOPERM no", "S: $-1"}, []string{"quit error NOPERM", "get success"}},
		{"behind QUIT", []string{"open", "C: QUIT", "C: GET a", "S: +OK", "C: GET b", "close"}, []string{"quit success"}},
		{"no reply by nature inside", []string{"open", "C: MULTI", "C: REPLCONF ACK 1", "C: GET a", "C: EXEC", "C: PING", `s: +OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$-1\r\n+PONG\r\n`}, []string{"multi success", "replconf silent", "get success", "exec success", "ping success"}},
		{"an array like a message, and a message", []string{"open", "C: MULTI", "C: SUBSCRIBE a", "C: LRANGE l 0 1", "C: PUBLISH a x", "C: EXEC", `s: +OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n*3\r\n+subscribe\r\n+a\r\n:1\r\n*3\r\n+message\r\n+a\r\n+b\r\n*3\r\n+message\r\n+a\r\n+x\r\n:1\r\n`},
			[]string{"multi success", "subscribe success", "lrange success", "publish success", "exec success"}},
		{"nested MULTI and WATCH", []string{"open", "C: MULTI", "S: +OK", "C: MULTI", "S: -ERR MULTI calls can not be nested", "C: WATCH a", "S: -ERR WATCH inside MULTI", "C: GET a", "S: +QUEUED", "C: EXEC", `s: *1\r\n$-1\r\n`},
			[]string{"multi success", "multi error ERR", "watch error ERR", "get success", "exec success"}},
		{"MULTI refused", []string{"open", "C: MULTI", "S: -LOADING Redis", "C: GET a", "S: $-1", "C: EXEC", "S: -ERR EXEC without MULTI"}, []string{"multi error LOADING", "get success", "exec error ERR"}},
		{"closed without EXEC", []string{"open", "C: MULTI", "S: +OK", "C: GET a", "S: +QUEUED", "C: GET b", "close"}, []string{"multi success"}},
		{"closed behind EXEC", []string{"open", "C: MULTI", "S: +OK", "C: GET a", "S: +QUEUED", "C: EXEC", "close"}, []string{"multi success", "get unanswered client_closed", "exec unanswered client_closed"}},
		{"all of it closed unanswered", []string{"open", "C: MULTI", "C: GET a", "C: EXEC", "C: MULTI", "C: GET b", "close"}, []string{"multi unanswered client_closed", "get unanswered client_closed", "exec unanswered client_closed", "multi unanswered client_closed"}},
		{"subscribe inside", []string{"open", "C: MULTI", "S: +OK", "C: SUBSCRIBE a b", "S: +QUEUED", "C: UNSUBSCRIBE", "S: +QUEUED", "C: PING", "S: +QUEUED", "C: EXEC", "S: *3",
			`s: *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n`, `s: *3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n`, "S: +PONG"},
			[]string{"multi success", "subscribe success", "unsubscribe success", "ping success", "exec success"}},
		{"HELLO inside", []string{"open", "C: MULTI", "S: +OK", "C: HELLO 3", "S: +QUEUED", "C: GET a", "S: +QUEUED", "C: EXEC", `s: *2\r\n%1\r\n+proto\r\n:3\r\n_\r\n`}, []string{"multi success", "hello success", "get success", "exec success"}},
		{"wrong number of elements", []string{"open", "C: MULTI", "S: +OK", "C: GET a", "S: +QUEUED", "C: EXEC", `s: *2\r\n`}, []string{"multi success", "unpaired 2 transaction"}},
	})
}

func TestSubscriptions(t *testing.T) {
	const (
		ack     = `s: *3\r\n$9\r\nsubscribe\r\n$1\r\n`
		message = `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n`
	)
	three := []string{"open", "C: HELLO 3", `s: %1\r\n+proto\r\n:3\r\n`}
	runScripts(t, []wireCase{
		{"one acknowledgement per argument", []string{"open", "C: SUBSCRIBE a b a", ack + `a\r\n:1\r\n`, ack + `b\r\n:2\r\n`, ack + `a\r\n:2\r\n`, `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`, "C: PING", `s: *2\r\n$4\r\npong\r\n$0\r\n\r\n`},
			[]string{"subscribe success", "ping success"}},
		{"messages between", []string{"open", "C: SUBSCRIBE a", ack + `a\r\n:1\r\n`, "C: PSUBSCRIBE b*", `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`, `s: *3\r\n$10\r\npsubscribe\r\n$2\r\nb*\r\n:2\r\n`, `s: *4\r\n$8\r\npmessage\r\n$2\r\nb*\r\n$1\r\nb\r\n$1\r\nx\r\n`},
			[]string{"subscribe success", "psubscribe success"}},
		{"unsubscribe from all", []string{"open", "C: SUBSCRIBE a b", ack + `a\r\n:1\r\n`, ack + `b\r\n:2\r\n`, "C: PSUBSCRIBE c*", `s: *3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:3\r\n`, "C: UNSUBSCRIBE", `s: *3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n`, `s: *3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n`, "C: PUNSUBSCRIBE", `s: *3\r\n$12\r\npunsubscribe\r\n$2\r\nc*\r\n:0\r\n`, "C: LRANGE a 0 1", `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`},
			[]string{"subscribe success", "psubscribe success", "unsubscribe success", "punsubscribe success", "lrange success"}},
		{"unsubscribe from nothing", []string{"open", "C: UNSUBSCRIBE", `s: *3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n`, "C: GET a", "S: $-1"}, []string{"unsubscribe success", "get success"}},
		{"sunsubscribe without a request", []string{"open", "C: SSUBSCRIBE a b", `s: *3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n`, `s: *3\r\n$10\r\nssubscribe\r\n$1\r\nb\r\n:2\r\n`, "C: PING", `s: *3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:1\r\n`, `s: *2\r\n$4\r\npong\r\n$0\r\n\r\n`, "C: SUNSUBSCRIBE", `s: *3\r\n$12\r\nsunsubscribe\r\n$1\r\nb\r\n:0\r\n`},
			[]string{"ssubscribe success", "ping success", "sunsubscribe success"}},
		{"sunsubscribe while SSUBSCRIBE is outstanding", []string{"open", "C: SSUBSCRIBE a", `s: *3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n`, "C: SSUBSCRIBE b", `s: *3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n`, `s: *3\r\n$10\r\nssubscribe\r\n$1\r\nb\r\n:1\r\n`}, []string{"ssubscribe success", "ssubscribe success"}},
		{"RESP3", []string{"open", "C: HELLO 3", `s: %1\r\n+proto\r\n:3\r\n`, "C: SUBSCRIBE a", `s: >3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`, "C: LRANGE a 0 1", `s: >3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`, `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`, "C: PING", "S: +PONG"},
			[]string{"hello success", "subscribe success", "lrange success", "ping success"}},
		{"RESP3 acknowledgement before its request", []string{"open", "C: HELLO 3", `s: %1\r\n+proto\r\n:3\r\n`, "later C: SUBSCRIBE a", `s: >3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`, "now", "C: PING", "S: +PONG"}, []string{"hello success", "subscribe success", "ping success"}},
		{"pong before its PING while subscribed", []string{"open", "C: SUBSCRIBE a", ack + `a\r\n:1\r\n`, "later C: PING", `s: *2\r\n$4\r\npong\r\n$0\r\n\r\n`, "now"}, []string{"subscribe success", "ping success"}},
		{"arrays in RESP3", append(three[:3:3], "C: SUBSCRIBE a", ack+`a\r\n:1\r\n`, "C: GET a", "C: LPUSH a 1", "C: LRANGE a 0 1", message, "S: $-1", message, "S: -WRONGTYPE no", message, "S: *0", message, "+60ms", "C: PING", "S: +PONG"),
			[]string{"hello success", "subscribe success", "get success", "lpush error WRONGTYPE", "lrange success", "ping success"}},
		{"arrays in RESP3 behind pushed acknowledgements", append(three[:3:3], "C: SUBSCRIBE a", `s: >3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`, "C: GET a", "C: LPUSH a 1", message, "S: $-1", message, "S: -WRONGTYPE no", message, "+60ms", "C: PING", "S: +PONG"),
			[]string{"hello success", "subscribe success", "get success", "lpush error WRONGTYPE", "ping success"}},
		{"arrays in RESP3 while commands are queued", append(three[:3:3], "C: SUBSCRIBE a", `s: >3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`, "C: MULTI", message, "S: +OK", "C: LRANGE a 0 1", message, "S: +QUEUED", "C: EXEC", `s: *1\r\n*3\r\n+message\r\n+a\r\n+b\r\n`),
			[]string{"hello success", "subscribe success", "multi success", "lrange success", "exec success"}},
		{"pattern messages as arrays in RESP3", append(three[:3:3], "C: PSUBSCRIBE a*", `s: *3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:1\r\n`, "C: GET a", "C: LPUSH a 1", `s: *4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$1\r\nx\r\n`, "S: $-1", "S: -WRONGTYPE no", "C: PUNSUBSCRIBE", `s: *3\r\n$12\r\npunsubscribe\r\n$2\r\na*\r\n:0\r\n`),
			[]string{"hello success", "psubscribe success", "get success", "lpush error WRONGTYPE", "punsubscribe success"}},
		{"sunsubscribe without a request as an array in RESP3", append(three[:3:3], "C: SSUBSCRIBE a", `s: *3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n`, "C: GET a", `s: *3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n`, "S: $-1"),
			[]string{"hello success", "ssubscribe success", "get success"}},
		{"pushes in RESP2", []string{"open", "C: SUBSCRIBE a", ack + `a\r\n:1\r\n`, `s: >3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`, "C: PING", message, `s: >3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`, `s: *2\r\n$4\r\npong\r\n$0\r\n\r\n`, message, "C: UNSUBSCRIBE a", `s: *3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n`},
			[]string{"subscribe success", "ping success", "unsubscribe success"}},
		{"pushed acknowledgements in RESP2", []string{"open", "C: SUBSCRIBE a", `s: >3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`, "C: LRANGE a 0 1", message, "C: GET a", "S: $-1"}, []string{"subscribe success", "lrange success", "get success"}},
		{"refused", []string{"open", "C: SUBSCRIBE a b", "S: -NOPERM no", "C: GET a", "S: $-1"}, []string{"subscribe error NOPERM", "get success"}},
		{"not allowed while subscribed", []string{"open", "C: SUBSCRIBE a", ack + `a\r\n:1\r\n`, "C: GET a", "S: -ERR Can't execute 'get'", "C: RESET", "S: +RESET", "C: GET a", "S: $-1"}, []string{"subscribe success", "get error ERR", "reset success", "get success"}},
		{"closed while subscribed", []string{"open", "C: SUBSCRIBE a", ack + `a\r\n:1\r\n`, "close"}, []string{"subscribe success"}},
	})
}

func TestMonitor(t *testing.T) {
	const line = `S: +1700000000.123456 [0 127.0.0.1:5000] "get" "a"`
	runScripts(t, []wireCase{
		{"lines", []string{"open", "C: MONITOR", "S: +OK", line, line, "C: GET a", line, "S: $-1", "C: RESET", "S: +RESET", "C: GET a", "S: $-1"}, []string{"monitor success", "get success", "reset success", "get success"}},
		{"second is not answered", []string{"open", "C: MONITOR", "C: MONITOR", "C: PING", "S: +OK", "S: +PONG"}, []string{"monitor success", "monitor silent", "ping success"}},
		{"lines inside EXEC", []string{"open", "C: MONITOR", "S: +OK", "C: MULTI", "S: +OK", "C: GET a", "S: +QUEUED", "C: EXEC", "S: *1", line, "S: $-1", line}, []string{"monitor success", "multi success", "get success", "exec success"}},
	})
}

func TestReplicas(t *testing.T) {
	handshake := []string{"open", "C: PING", "S: +PONG", "C: REPLCONF listening-port 1", "S: +OK"}
	runScripts(t, []wireCase{
		{"psync", append(handshake[:5:5], "C: PSYNC ? -1", `s: \n`, `s: \n\n`, "S: +FULLRESYNC abc 0", `s: \n$10\r\nREDIS0011x`, `s: garbage`, "C: REPLCONF ACK 1", "C: REPLCONF ACK 2", "close"),
			[]string{"ping success", "replconf success", "psync success", "replconf silent", "replconf silent"}},
		{"continue", []string{"open", "C: PSYNC a 1", "S: +CONTINUE", `s: *1\r\n$4\r\nPING\r\n`, "C: REPLCONF ACK 1"}, []string{"psync success", "replconf silent"}},
		{"rdb channel", []string{"open", "C: PSYNC a 1", "S: +RDBCHANNELSYNC 5", `s: *1\r\n$4\r\nPING\r\n`, "C: REPLCONF ACK 1"}, []string{"psync success", "replconf silent"}},
		{"dual channel stays", []string{"open", "C: PSYNC a 1", "S: +DUALCHANNELSYNC", "C: REPLCONF set-rdb-client-id 1", "S: +OK", "C: PSYNC a 1", "S: +CONTINUE", "s: x"}, []string{"psync success", "replconf success", "psync success"}},
		{"sync, inline", []string{"open", `c: SYNC\r\n`, `s: \n`, `s: $100\r\nREDIS`, "C: REPLCONF ACK 1"}, []string{"sync success", "replconf silent"}},
		{"refused", []string{"open", "C: PSYNC a 1", "S: -NOMASTERLINK Can't SYNC", "C: PING", "S: +PONG"}, []string{"psync error NOMASTERLINK", "ping success"}},
		{"ACK from no replica", []string{"open", "C: REPLCONF ACK 1", "C: REPLCONF GETACK *", "C: PING", "S: +PONG"}, []string{"replconf silent", "replconf silent", "ping success"}},
		{"slot migration", []string{"open", "C: CLUSTER SYNCSLOTS ESTABLISH x", "S: +OK", `s: *1\r\n$4\r\nPING\r\n`, "C: CLUSTER SYNCSLOTS ACK 1"}, []string{"cluster|syncslots success", "cluster|syncslots silent"}},
		{"transaction in a slot migration", []string{"open", "C: CLUSTER SYNCSLOTS ESTABLISH x", "S: +OK", "C: SELECT 0", "C: MULTI", "C: SET a 1", "C: EXEC", "C: SUBSCRIBE a", "C: CLUSTER SYNCSLOTS ACK", "close"},
			[]string{"cluster|syncslots success", "select silent", "multi silent", "set silent", "exec silent", "subscribe silent", "cluster|syncslots silent"}},
	})
}

func TestEnds(t *testing.T) {
	runScripts(t, []wireCase{
		{"server closes", []string{"open", "C: GET a", "C: GET b", "S: $-1", "peer-close", "close"}, []string{"get success", "get unanswered server_closed"}},
		{"client closes", []string{"open", "C: GET a", "close"}, []string{"get unanswered client_closed"}},
		{"half a request does not count", []string{"open", "C: GET a", "S: $-1", `c: *2\r\n$3\r\nGET`, "close"}, []string{"get success"}},
		{"half a reply is none", []string{"open", "C: GET a", `s: $5\r\nab`, "peer-close"}, []string{"get unanswered server_closed"}},
		{"replies after half-close", []string{"open", "C: GET a", "half-close", "S: $-1", "close"}, []string{"get success"}},
		{"behind a blocked head", []string{"open", "C: BLPOP a 0", "C: GET b", "C: GET c", "+60ms", "close"}, []string{"blpop unanswered client_closed"}},
		{"XREAD that blocks", []string{"open", "C: XREAD BLOCK 0 STREAMS a $", "C: GET b", "+60ms", "close"}, []string{"xread unanswered client_closed"}},
		{"XREAD that does not", []string{"open", "C: XREAD STREAMS a $", "C: GET b", "close"}, []string{"xread unanswered client_closed", "get unanswered client_closed"}},
		{"unblocked by an error", []string{"open", "C: BLPOP a 0", "S: -UNBLOCKED client unblocked", "C: GET a", "S: $-1"}, []string{"blpop error UNBLOCKED", "get success"}},
		{"shutdown", []string{"open", "C: SHUTDOWN NOSAVE", "C: GET a", "peer-close", "close"}, []string{"shutdown silent"}},
		{"shutdown refused", []string{"open", "C: SHUTDOWN", "S: -ERR Errors trying to SHUTDOWN"}, []string{"shutdown error ERR"}},
		{"last replies lost", []string{"open", "C: GET a", "lose S: $-1", "close"}, []string{"unpaired 1 gap"}},
		{"reused without a close seen", []string{"open", "C: GET a", "open", "C: GET b", "S: $-1"}, []string{"unpaired 1 lost_close", "get success"}},
	})
}

func TestOutOfStep(t *testing.T) {
	runScripts(t, []wireCase{
		{"idle before", []string{"existing", "+100ms", "C: GET a", "S: $-1"}, []string{"get success"}},
		{"first seen by data", []string{"C: GET a", "S: $-1", "+100ms", "C: GET b", "S: $-1"}, []string{"unpaired 1 mid_stream", "get success"}},
		{"reply outstanding", []string{"existing", "S: $-1", "C: GET a", "C: GET b", "S: $-1"}, []string{"unpaired 1 mid_stream", "unpaired 1 mid_stream"}},
		{"unanswered is not quiet", []string{"existing", "C: BLPOP a 0", "+100ms", "C: GET a", "S: $-1"}, []string{"unpaired 1 mid_stream", "unpaired 1 mid_stream"}},
		{"gap in a request", []string{"open", "C: GET a", "lose C: GET b", "C: GET c", "+60ms", "S: $-1", "S: $-1", "S: $-1", "+100ms", "C: GET d", "S: $-1"}, []string{"unpaired 1 gap", "unpaired 1 gap", "get success"}},
		{"reply let go before the next request", []string{"open", "C: PING", "S: +PONG", "lose C: SET a 1", "S: +OK", "+20ms", "C: GET a", "S: $-1", "+29ms", "+30ms", "+500ms", "C: GET b", "S: $-1"}, []string{"ping success", "unpaired 1 unsolicited", "unpaired 1 unsolicited", "get success"}},
		{"gap in a reply", []string{"open", "C: GET a", "C: GET b", "gap S: $-1", "S: $-1", "+100ms", "C: GET d", "S: $-1"}, []string{"unpaired 2 gap", "get success"}},
		{"gap inside values", []string{"open", `c: *3\r\n$3\r\nSET\r\n$1\r\na\r\n$200\r\n` + big(80), "gap c: " + big(100), "c: " + big(20) + `\r\n`, "S: +OK", "C: GET a", `s: $200\r\n` + big(80), "gap s: " + big(120) + `\r\n`, "C: PING", "S: +PONG"},
			[]string{"set success", "get success", "ping success"}},
		{"out of order", []string{"open", "later c: *2\\r\\n$3\\r\\nG", "c: ET\\r\\n$1\\r\\na\\r\\n", "now", "later s: $1\\r", "s: \\nx\\r\\n", "now"}, []string{"get success"}},
		{"subscribed in mid-stream", []string{"existing", `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`, "+100ms", "C: PING", `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`, `s: *2\r\n$4\r\npong\r\n$0\r\n\r\n`}, []string{"ping success"}},
		{"silently subscribed in mid-stream", []string{"existing", "+100ms", "C: PING", `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`, `s: *2\r\n$4\r\npong\r\n$0\r\n\r\n`, `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n`}, []string{"ping success"}},
		{"monitoring in mid-stream", []string{"existing", `S: +1700000000.123456 [0 127.0.0.1:5000] "get" "a"`, "+100ms", "C: PING", `S: +1700000000.123456 [0 127.0.0.1:5000] "get" "a"`, "S: +PONG"}, []string{"ping success"}},
		{"replica in mid-stream", []string{"existing", `s: *1\r\n$4\r\nPING\r\n`, "C: REPLCONF ACK 1", `s: *1\r\n$4\r\nPING\r\n`, "C: REPLCONF ACK 2"}, []string{"replconf silent", "replconf silent"}},
		{"transaction in mid-stream", []string{"existing", "+100ms", "C: GET a", "S: +QUEUED", "C: EXEC", `s: *2\r\n+OK\r\n$-1\r\n`, "C: GET a", "S: $-1"}, []string{"unpaired 2 mid_stream", "exec success", "get success"}},
		{"encrypted in mid-stream", []string{"existing", "c: \x17\x03\x03\x00\x03abc", "s: \x17\x03\x03", "close"}, nil},
		{"a reply that looks encrypted in mid-stream", []string{"existing", "C: GET a", "s: \x17\x03\x03\x00\x03abc", `s: \r\n`, "+100ms", "C: GET a", "S: $-1"}, []string{"unpaired 1 mid_stream", "get success"}},
		{"a value that looks encrypted in mid-stream", []string{"existing", "c: \x17\x03\x03\x00\x10abc", "c: \x16\x03\x01\x00\x01a\x17", `c: \r\n`, "S: +OK", "+100ms", "C: GET a", "S: $-1"}, []string{"unpaired 1 mid_stream", "get success"}},
		{"the end of a request and whole ones in mid-stream", []string{"existing", `c: x\r\n*1\r\n$4\r\nPING\r\n`, "S: +OK", "S: +PONG", "+100ms", "C: GET a", "S: $-1"}, []string{"unpaired 1 mid_stream", "get success"}},
		{"no Redis in mid-stream", []string{"existing", "c: abc", "s: def", "+100ms", "c: abc", "close"}, nil},
	})
}

// big returns n bytes of a value.
func big(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'v'
	}
	return string(b)
}
