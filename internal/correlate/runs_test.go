package correlate

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/event"
)

// pipelines lays the session out in few chunks: of each pipeline all requests in one, then all replies in one.
func (s *traffic) pipelines(random *rand.Rand) []event.Event {
	now, seq := int64(time.Second), [2]uint32{firstRequestSeq, firstReplySeq}
	events := []event.Event{{Kind: event.Open, Time: now, Seq: seq[event.Request], ReplySeq: seq[event.Reply]}}
	put := func(direction event.Direction, data string) {
		now += int64(10 * time.Microsecond)
		events = append(events, event.Event{Kind: event.Data, Direction: direction, Time: now, Seq: seq[direction], Data: []byte(data)})
		seq[direction] += uint32(len(data))
	}
	for rest := s.turns; len(rest) > 0; {
		var requests, replies string
		n := 1 + random.IntN(len(rest))
		for _, t := range rest[:n] {
			requests += t.request
			replies += t.reply
		}
		rest = rest[n:]
		put(event.Request, requests)
		put(event.Reply, replies)
	}
	return events
}

// What commands come to does not depend on how many of them are in a chunk: runs are taken at once, and change nothing.
func TestPipelinesOfAnyCommands(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	runs := 0
	for range 3000 {
		script := make([]byte, 1+random.IntN(400))
		for i := range script {
			script[i] = byte(random.Uint32())
			if i >= 3 && random.IntN(4) > 0 {
				script[i] = script[i-3] // three rolls make a turn, so that the same command follows
			}
		}
		s := traffic{dice: script}
		s.generate()
		p := newPlayer(t)
		for _, e := range s.pipelines(random) {
			p.event(e)
			for i := range p.tracker.shared.Out.List {
				if p.tracker.shared.Out.List[i].Count > 1 {
					runs++
				}
			}
		}
		p.take(p.tracker.Flush())
		require.Equal(t, s.model.want, p.got)
		p.line("close")
		require.Zero(t, p.tracker.slots.used, "slots are given back")
		require.Zero(t, p.pool(), "nothing stays in the pool")
	}
	assert.NotZero(t, runs)
}

func TestRuns(t *testing.T) {
	get, value := `*2\r\n$3\r\nGET\r\n$1\r\na\r\n`, `$1\r\nx\r\n`
	runScripts(t, []wireCase{
		{"alike", []string{"open", "c: " + get + get + get, "s: " + value + value + value}, []string{"get success", "get success", "get success"}},
		{"an error among them", []string{"open", "c: " + get + get + get, "s: " + value + `-WRONGTYPE x\r\n` + value}, []string{"get success", "get error WRONGTYPE", "get success"}},
		{"nulls, integers and OK", []string{"open", "c: " + get + get + get + get, `s: $-1\r\n:1\r\n+OK\r\n_\r\n`}, []string{"get success", "get success", "get success", "get success"}},
		{"more replies than requests", []string{"open", "c: " + get + get, "s: " + value + value + value, "+60ms", "c: " + get, "s: " + value}, []string{"get success", "get success", "unpaired 1 unsolicited", "get success"}},
		{"the last is cut", []string{"open", "c: " + get + get + `*2\r\n$3\r\nGET\r\n$`, `c: 1\r\na\r\n`, "s: " + value + value + `$1\r\nx`, `s: \r\n`}, []string{"get success", "get success", "get success"}},
		{"another case is another command's bytes", []string{"open", "c: " + get + `*2\r\n$3\r\nget\r\n$1\r\na\r\n` + get, "s: " + value + value + value}, []string{"get success", "get success", "get success"}},
		{"subcommands", []string{"open", `c: *3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$1\r\na\r\n`, `s: *0\r\n+OK\r\n`}, []string{"config|get success", "config|set success"}},
		{"words that close", []string{"open", "c: " + get + `*1\r\n$4\r\nPOST\r\n*1\r\n$4\r\nPOST\r\n`, "s: " + value, "peer-close", "close"}, []string{"get success"}},
		{"unknown names", []string{"open", `c: *1\r\n$3\r\nFOO\r\n*1\r\n$3\r\nFOO\r\n`, `s: -ERR unknown command\r\n-ERR unknown command\r\n`}, []string{"other error ERR", "other error ERR"}},
		{"nothing behind QUIT", []string{"open", "c: " + get + `*1\r\n$4\r\nQUIT\r\n` + get + get, "s: " + value + `+OK\r\n`, "peer-close", "close"}, []string{"get success", "quit success"}},
		{"CLIENT REPLY SKIP in front", []string{"open", `c: *3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n` + get + get + get, "s: " + value + value}, []string{"client|reply silent", "get silent", "get success", "get success"}},
		{"a malformed request behind", []string{"open", "c: " + get + get + `*1\r\n+4\r\n` + get, "s: " + value + value + `-ERR Protocol error: x\r\n`, "close"}, []string{"get success", "get success"}},
		{"closed in the middle", []string{"open", "c: " + get + get + get, "s: " + value, "peer-close", "close"}, []string{"get success", "get unanswered server_closed", "get unanswered server_closed"}},
	})
}
