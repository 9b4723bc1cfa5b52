package correlate

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
)

// Each byte of a connection belongs to one command or to none, and each null to one command.
func TestWeight(t *testing.T) {
	const message = `s: *3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n` // 31 bytes
	for _, test := range []struct {
		name   string
		script []string
		want   []string // command, bytes of its requests and replies, null replies and elements
		spare  [2]uint64
	}{
		{"one by one", []string{"C: GET a", "S: $-1", "C: PING", "S: +PONG"}, []string{"get 20 5 1 0", "ping 14 7 0 0"}, [2]uint64{}},
		{"a pipeline", []string{`c: *2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n*1\r\n$4\r\nPING\r\n`, `s: $1\r\nx\r\n$-1\r\n+PONG\r\n`},
			[]string{"get 40 12 1 0", "ping 14 7 0 0"}, [2]uint64{}},
		{"in pieces", []string{`c: *2\r\n$3\r\nGE`, `c: T\r\n$1\r\na\r\n`, `s: $5\r`, `s: \nhello\r`, `s: \n`}, []string{"get 20 11 0 0"}, [2]uint64{}},
		{"nulls in arrays", []string{"C: MGET a b", `s: *2\r\n$-1\r\n$-1\r\n`, "C: KEYS a", `s: *2\r\n*1\r\n$-1\r\n:1\r\n`},
			[]string{"mget 28 14 0 2", "keys 21 17 0 0"}, [2]uint64{}},
		{"an error", []string{"C: GET a", "S: -ERR x"}, []string{"get 20 8 0 0"}, [2]uint64{}},
		{"elided", []string{"C: GET a", `s: $5\r\nh`, `gap s: ell`, `s: o\r\n`}, []string{"get 20 11 0 0"}, [2]uint64{}},
		{"a transaction", []string{"C: MULTI", "S: +OK", "C: GET a", "S: +QUEUED", "C: EXEC", `s: *1\r\n$-1\r\n`},
			[]string{"multi 15 5 0 0", "get 20 5 1 0", "exec 14 0 0 0"}, [2]uint64{0, 9 + 4}},
		{"discarded", []string{"C: MULTI", "S: +OK", "C: GET a", "S: +QUEUED", "C: DISCARD", "S: +OK"},
			[]string{"multi 15 5 0 0", "discard 17 5 0 0"}, [2]uint64{20, 9}},
		{"messages", []string{"C: SUBSCRIBE a", `s: *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`, message, message}, []string{"subscribe 26 30 0 0"}, [2]uint64{0, 62}},
		{"silent", []string{"C: CLIENT REPLY OFF", "C: SET a 1", "+2s", "tick"}, []string{"client_reply 36 0 0 0", "set 27 0 0 0"}, [2]uint64{}},
		{"lost", []string{"C: GET a", "lose C: GET b", "C: GET c", "+100ms", "tick"}, nil, [2]uint64{60, 0}},
		{"unanswered", []string{"C: GET a", "peer-close", "close"}, []string{"get 20 0 0 0"}, [2]uint64{}},
		{"half a request", []string{"C: PING", "S: +PONG", `c: *2\r\n$3\r\nGET\r\n`, "half-close", "close"}, []string{"ping 14 7 0 0"}, [2]uint64{13, 0}},
		{"behind QUIT", []string{"C: QUIT", "S: +OK", "C: GET a"}, []string{"quit 14 5 0 0"}, [2]uint64{20, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayer(t)
			var got []string
			p.took = func(x session.Exchange) {
				if x.Outcome != session.Unpaired {
					name := command.Builtin().Label(x.Command, command.Wire)
					got = append(got, fmt.Sprintf("%s %d %d %d %d", name, x.RequestBytes, x.ResponseBytes, x.Nils, x.NilElements))
				}
			}
			p.play("open")
			p.play(test.script...)
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.spare, p.tracker.Pools()[0].Unassigned, "of no command")
		})
	}
}
