package correlate

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// newSlowPlayer returns a player whose tracker passes slow exchanges on, and what it has passed on.
func newSlowPlayer(tb testing.TB, from time.Duration) (*player, *[]string) {
	p, passed := newPlayer(tb), new([]string)
	p.full = true
	p.tracker = New(Options{
		Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, true },
		Slow: func(x *session.Slow, role event.Role, e *event.Endpoints, _ *event.Owner) {
			assert.Equal(tb, p.role, role)
			assert.EqualValues(tb, 1, e.LocalPort)
			text := fmt.Sprintf("%s at %dms, %d from %d of %d, bytes %d/%d", p.show(x.Exchange), x.Start/int64(time.Millisecond), x.Count, x.Position, x.Length, x.RequestBytes, x.ResponseBytes)
			if x.Transaction {
				text += ", transaction"
			}
			*passed = append(*passed, text)
		},
		SlowFrom: from,
	})
	checkStates(tb, p.tracker)
	return p, passed
}

const (
	get  = `*2\r\n$3\r\nGET\r\n$1\r\na\r\n`
	incr = `*2\r\n$4\r\nINCR\r\n$1\r\na\r\n`
)

func TestSlow(t *testing.T) {
	for _, test := range []struct {
		name   string
		script []string
		want   []string
	}{
		{"alone", []string{"C: GET a", "S: $-1", "C: GET a", "+20ms", "S: -ERR x"}, []string{"get error ERR 22ms at 4ms, 1 from 1 of 1, bytes 20/8"}},
		{"at the threshold", []string{"C: GET a", "+8ms", "S: $-1", "C: GET a", "+7ms", "S: $-1"}, []string{"get success 10ms at 2ms, 1 from 1 of 1, bytes 20/5"}},
		{"pipeline", []string{"c: " + get + incr + get, "S: $-1", "+20ms", `s: :1\r\n$-1\r\n`}, []string{
			"incr success 23ms at 2ms, 1 from 2 of 3, bytes 21/4", "get success 23ms at 2ms, 1 from 3 of 3, bytes 20/5",
		}},
		{"equal ones at once", []string{"c: " + incr + get + get + get, "+20ms", `s: :1\r\n$-1\r\n$-1\r\n$-1\r\n`}, []string{
			"incr success 22ms at 2ms, 1 from 1 of 4, bytes 21/4", "get success 22ms at 2ms, 1 from 2 of 4, bytes 20/5", "get success 22ms at 2ms, 2 from 3 of 4, bytes 40/10",
		}},
		{"equal ones in parts", []string{"c: " + get + get + get, `s: $-1\r\n$-1\r\n`, "+20ms", "S: $-1"}, []string{"get success 23ms at 2ms, 1 from 3 of 3, bytes 0/5"}},
		{"a part of equal ones", []string{"c: " + get + get + get, "+20ms", "S: $-1", "S: $-1", "S: $-1"}, []string{
			"get success 22ms at 2ms, 1 from 1 of 3, bytes 20/5", "get success 23ms at 2ms, 1 from 2 of 3, bytes 0/5", "get success 24ms at 2ms, 1 from 3 of 3, bytes 0/5",
		}},
		{"two calls", []string{"c: " + get + incr, "c: " + incr + get, "+20ms", `s: $-1\r\n:1\r\n:2\r\n$-1\r\n`}, []string{
			"get success 23ms at 2ms, 1 from 1 of 2, bytes 20/5", "incr success 23ms at 2ms, 1 from 2 of 2, bytes 21/4",
			"incr success 22ms at 3ms, 1 from 1 of 2, bytes 21/4", "get success 22ms at 3ms, 1 from 2 of 2, bytes 20/5",
		}},
		{"transaction", []string{`c: *1\r\n$5\r\nMULTI\r\n` + get + `*1\r\n$4\r\nEXEC\r\n` + incr, "+20ms", `s: +OK\r\n+QUEUED\r\n*1\r\n$1\r\nx\r\n:1\r\n`}, []string{
			"multi success 22ms at 2ms, 1 from 1 of 4, bytes 15/5", "get success 22ms at 2ms, 1 from 2 of 4, bytes 20/7, transaction",
			"exec success 22ms at 2ms, 1 from 3 of 4, bytes 14/0", "incr success 22ms at 2ms, 1 from 4 of 4, bytes 21/4",
		}},
		{"silent", []string{`c: *3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n` + get + incr, "+20ms", "S: :1"}, []string{"incr success 22ms at 2ms, 1 from 3 of 3, bytes 21/4"}},
		{"blocking", []string{"C: BLPOP a 0", "+20ms", "S: *-1", "C: XREAD BLOCK 0 STREAMS a 0", "+20ms", "S: *-1", "C: XREAD STREAMS a 0", "+20ms", "S: *-1"}, []string{
			"xread success 22ms at 48ms, 1 from 1 of 1, bytes 42/5",
		}},
		{"given up", []string{"c: " + get + incr + incr + incr, "+20ms", "close"}, []string{
			"get unanswered client_closed 22ms at 2ms, 1 from 1 of 4, bytes 20/0",
			"incr unanswered client_closed 22ms at 2ms, 1 from 2 of 4, bytes 21/0", "incr unanswered client_closed 22ms at 2ms, 1 from 3 of 4, bytes 0/0",
			"incr unanswered client_closed 22ms at 2ms, 1 from 4 of 4, bytes 0/0",
		}},
		{"gap", []string{"c: " + get + incr, "+20ms", "gap S: $-1"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, passed := newSlowPlayer(t, 10*time.Millisecond)
			p.play("open")
			p.play(test.script...)
			assert.Equal(t, test.want, *passed)
		})
	}
}

// What is passed on changes no count.
func TestSlowIsBeside(t *testing.T) {
	script := []string{"open", "c: " + get + get + incr, "+20ms", `s: $-1\r\n$-1\r\n`, "+20ms", `s: :1\r\n`, "c: " + get, "+20ms", "close"}
	p := newPlayer(t)
	p.full = true
	want := p.play(script...)
	on, passed := newSlowPlayer(t, 1)
	assert.Equal(t, want, on.play(script...))
	assert.Len(t, *passed, 4)
}

// A connection's exchanges take no memory but that of the first.
func TestSlowAllocates(t *testing.T) {
	x := newExchanger(t, 1, getRequest, getReply)
	x.tracker.shared.SlowFrom = int64(time.Second)
	x.run()
	assert.Zero(t, testing.AllocsPerRun(100, func() { x.run() }))
}
