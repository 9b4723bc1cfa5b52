package correlate

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
)

func TestPreface(t *testing.T) {
	const (
		line   = `c: PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n`
		binary = `c: \r\n\r\n\x00\r\nQUIT\n` + "\x21\x11" + `\x00` + "\x0cabcdefghijkl"
		wrong  = "S: -WRONGTYPE no"
	)
	pairs := []string{"set success", "lpush error WRONGTYPE", "set success", "lpush error WRONGTYPE"}
	runScripts(t, []wireCase{
		{"line", []string{"open", line, "C: SET a 1", "C: LPUSH a 1", "C: SET a 1", "C: LPUSH a 1", "S: +OK", wrong, "S: +OK", wrong}, pairs},
		{"line with a request behind it", []string{"open", line + `*1\r\n$4\r\nPING\r\n`, "S: +PONG"}, []string{"ping success"}},
		{"line in pieces", []string{"open", "c: PRO", "c: XY TCP4 1.2.3.4", `c:  1.2.3.5 1 2\r`, `c: \n*1\r\n`, `c: $4\r\nPING\r\n`, "S: +PONG"}, []string{"ping success"}},
		{"binary", []string{"open", binary, "C: SET a 1", "C: LPUSH a 1", "C: SET a 1", "C: LPUSH a 1", "S: +OK", wrong, "S: +OK", wrong}, pairs},
		{"binary in pieces", []string{"open", `c: \r\n\r\n`, `c: \x00\r\nQUIT\n`, "c: \x20\x11", `c: \x00`, "c: \x03a", `c: bc*1\r\n$4\r\nPING\r\n`, "S: +PONG"}, []string{"ping success"}},
		{"an inline command that begins alike", []string{"open", "c: P", `c: ING\r\n`, "S: +PONG"}, []string{"ping success"}},
		{"blank lines", []string{"open", `c: \r\n`, `c: \r\nPING\r\n`, "S: +PONG"}, []string{"ping success"}},
		{"line to a server that does not know it", []string{"open", line, "S: -ERR unknown command 'PROXY', with args beginning with: 'TCP4' ", "C: SET a 1", "C: LPUSH a 1", "S: +OK", wrong}, []string{"other error ERR", "set success", "lpush error WRONGTYPE"}},
		{"all of it in one write", []string{"open", line + `*1\r\n$4\r\nPING\r\n`, `s: -ERR unknown command 'PROXY', with args beginning with: 'TCP4' \r\n+PONG\r\n`}, []string{"other error ERR", "ping success"}},
		{"line to a server that asks for a password", []string{"open", line + `*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n*1\r\n$4\r\nPING\r\n`, `s: -NOAUTH Authentication required.\r\n+OK\r\n+PONG\r\n`}, []string{"other error NOAUTH", "auth success", "ping success"}},
		{"first reply is an error of its own", []string{"open", line, "C: LPUSH a 1", "C: NOSUCH", wrong, "S: -ERR unknown command 'NOSUCH'"}, []string{"lpush error WRONGTYPE", "other error ERR"}},
		{"reply before its request behind a line", []string{"open", line, "later C: GET a", "S: +1", "now", "C: LPUSH a 1", wrong}, []string{"get success", "lpush error WRONGTYPE"}},
		{"TLS behind a line", []string{"open", line, "c: \x16\x03\x01\x02", "s: \x16\x03\x03", "close"}, nil},
		{"nothing else", []string{"open", line, "peer-close", "close"}, nil},
		{"later it is a command", []string{"open", "C: GET a", "S: $-1", line, "S: -ERR unknown command 'PROXY'"}, []string{"get success", "other error ERR"}},
		{"TLS", []string{"open", "c: \x16", "c: \x03\x01", "close"}, nil},
	})
}

// Servers that speak first are none of Redis, even if their greeting has the form of a reply.
func TestGreetings(t *testing.T) {
	for _, test := range []struct {
		name   string
		script []string
		want   []string
		kind   session.Kind
	}{
		{"POP3", []string{"open", `s: +OK POP3 ready\r\n`, "+100ms", `c: USER bob\r\n`, "S: +OK", `c: PASS x\r\n`, "S: -ERR no", `c: QUIT\r\n`, "S: +OK", "close"}, nil, session.KindNotRedis},
		{"POP3 in haste", []string{"open", `s: +OK POP3 ready\r\n`, `c: CAPA\r\n`, "S: +OK", `s: USER\r\n.\r\n`, `c: QUIT\r\n`, "S: +OK", "close"}, nil, session.KindNotRedis},
		{"POP3, events exchanged", []string{"open", `later s: +OK POP3 ready\r\n`, `c: USER bob\r\n`, "now", "S: +OK", "close"}, nil, session.KindNotRedis},
		{"greeting alone", []string{"open", `s: +OK POP3 ready\r\n`, "+100ms", "peer-close", "close"}, nil, session.KindNotRedis},
		{"IMAP", []string{"open", `s: * OK IMAP4rev1 ready\r\n`, `c: a1 LOGIN x y\r\n`, `s: a1 OK done\r\n`, "close"}, nil, session.KindNotRedis},
		{"SMTP", []string{"open", `s: 220 mail.example.com ESMTP\r\n`, `c: EHLO me\r\n`, `s: 250 ok\r\n`, "close"}, nil, session.KindNotRedis},
		{"FTP", []string{"open", `s: 220-welcome\r\n220 ready\r\n`, `c: USER x\r\n`, `s: 331 password\r\n`, "close"}, nil, session.KindNotRedis},
		{"SSH", []string{"open", `s: SSH-2.0-OpenSSH_9.2\r\n`, `c: SSH-2.0-x\r\n`, "close"}, nil, session.KindNotRedis},
		{"MySQL", []string{"open", `s: J\x00\x00\x00\n8.0.36\x00`, `c: \x20\x00\x00`, "close"}, nil, session.KindNotRedis},
		{"MySQL, of a length that is a reply's type", []string{"open", `s: +\x00\x00\x00\n5.7.1\x00`, `c: U\x00\x00`, "close"}, nil, session.KindNotRedis},
		{"HTTP", []string{"open", `c: GET / HTTP/1.1\r\nAccept: x\r\n\r\n`, `s: HTTP/1.1 200 OK\r\n\r\n`, "close"}, nil, session.KindNotRedis},
		{"NATS", []string{"open", `s: INFO {"server_id":"x"}\r\n`, `c: CONNECT {}\r\nPING\r\n`, `s: +OK\r\nPONG\r\n`, "close"}, nil, session.KindNotRedis},
		{"IRC", []string{"open", `s: :irc.example.com NOTICE * :hello\r\n`, `c: NICK x\r\n`, "close"}, nil, session.KindNotRedis},
		{"max clients", []string{"open", "S: -ERR max number of clients reached", "+60ms", `c: PING\r\n`, "close"}, nil, session.KindRedis},
		{"greeting of one that speaks RESP", []string{"open", "S: +HELLO", "+60ms", "C: GET a", "S: $-1", "close"}, []string{"get success"}, session.KindRedis},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayer(t)
			got := p.play(test.script...)
			if test.name == "max clients" {
				got = nil // how a request ends that was never read is not of interest here
			}
			assert.Equal(t, test.want, got)
			s := p.tracker.Stats()
			for kind, n := range s.Connections {
				if session.Kind(kind) == test.kind {
					assert.EqualValues(t, 1, n, session.Kind(kind))
				} else {
					assert.Zero(t, n, session.Kind(kind))
				}
			}
			assert.Zero(t, p.tracker.Outstanding())
		})
	}
}

// A frame that is completed by a lost end may show that the server is not Redis, while segments behind it are being released.
func TestGreetingWithALostEnd(t *testing.T) {
	p := newPlayer(t)
	p.play("open", `later s: $10\r\n`, `lose s: 0123456789\r\n`, "S: +x", `c: PING\r\n`, "now", "+60ms")
	assert.EqualValues(t, 1, p.tracker.Stats().Connections[session.KindNotRedis])
	assert.Zero(t, p.tracker.held.used)
	p.play("close")
	assert.Empty(t, p.got)
}
