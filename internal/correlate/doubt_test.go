package correlate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A server may refuse what asks it for silence; the errors are those of real ones.
func TestSilenceRefused(t *testing.T) {
	const (
		wrong  = `-WRONGTYPE Operation against a key\r\n`
		off    = `*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n`
		pair   = `*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*3\r\n$5\r\nLPUSH\r\n$1\r\na\r\n$1\r\n1\r\n`
		rename = "-ERR unknown command 'CLIENT', with args beginning with: 'REPLY' "
		noperm = "-NOPERM User default has no permissions to run the 'client|reply' command"
		busy   = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL"
	)
	pairs := append([]string{"client|reply error ERR"}, slices.Repeat([]string{"set success", "lpush error WRONGTYPE"}, 100)...)
	answered := "s: " + strings.Repeat(`+OK\r\n`+wrong, 100)
	skip := []string{"open", "C: CLIENT REPLY SKIP", "C: GET a", "C: LPUSH a 1", "C: GET b"}
	refusedSkip := func(prefix string) []string {
		return []string{"client|reply error " + prefix, "get success", "lpush error WRONGTYPE", "get success"}
	}
	runScripts(t, []wireCase{
		{"off, all of it in one write", []string{"open", "c: " + off + strings.Repeat(pair, 100), "S: -ERR no", answered}, pairs},
		{"off, command by command", []string{"open", "c: " + off, "S: -ERR no", "c: " + strings.Repeat(pair, 100), answered}, pairs},
		{"off, far away", []string{"open", "c: " + off + strings.Repeat(pair, 100), "+300ms", "S: " + rename, answered}, pairs},
		{"off behind a blocked command", []string{"open", "C: BLPOP l 0", "C: CLIENT REPLY OFF", "C: SET a 1", "+5s", "S: *-1", "+100ms", "S: " + noperm, "S: +OK"},
			[]string{"blpop success", "client|reply error NOPERM", "set success"}},
		{"skip, an error that says nothing", append(skip[:5:5], `s: -ERR no\r\n$-1\r\n`+wrong+`$-1\r\n`, "+60ms"), []string{"client|reply silent", "get silent", "lpush error ERR", "get success", "unpaired 1 unsolicited", "unpaired 1 unsolicited"}},
		{"off, and the proof comes too late", []string{"open", "C: CLIENT REPLY OFF", "C: GET a", "+2s", "S: " + busy, "+60ms"}, []string{"client|reply silent", "get silent", "unpaired 1 unsolicited"}},
		{"on and off", []string{"open", "C: CLIENT REPLY ON", "C: CLIENT REPLY OFF", "C: LPUSH a 1", "C: CLIENT REPLY ON", "S: " + rename, "S: " + rename, "s: " + wrong, "S: " + rename},
			[]string{"client|reply error ERR", "client|reply error ERR", "lpush error WRONGTYPE", "client|reply error ERR"}},
		{"skip, renamed", append(skip[:5:5], "S: "+rename, "S: $-1", "s: "+wrong, "S: $-1"), refusedSkip("ERR")},
		{"skip, no subcommand", append(skip[:5:5], "S: -ERR Unknown subcommand or wrong number of arguments for 'REPLY'. Try CLIENT HELP.", "S: $-1", "s: "+wrong, "S: $-1"), refusedSkip("ERR")},
		{"skip, not permitted", append(skip[:5:5], "S: "+noperm, "S: $-1", "s: "+wrong, "S: $-1"), refusedSkip("NOPERM")},
		{"skip, not permitted on 6.0", append(skip[:5:5], "S: -NOPERM this user has no permissions to run the 'client' command or its subcommand", "S: $-1", "s: "+wrong, "S: $-1"), refusedSkip("NOPERM")},
		{"skip, busy, asked one by one", []string{"open", "C: CLIENT REPLY SKIP", "S: " + busy, "C: GET a", "S: " + busy, "C: LPUSH a 1", "S: " + busy}, []string{"client|reply error BUSY", "get error BUSY", "lpush error BUSY"}},
		{"skip obeyed, then busy", append(skip[:5:5], "S: "+busy, "S: "+busy), []string{"client|reply silent", "get silent", "lpush error BUSY", "get error BUSY"}},
		{"skip obeyed, then busy in one write", append(skip[:5:5], "s: "+strings.Repeat(busy+`\r\n`, 2)), []string{"client|reply silent", "get silent", "lpush error BUSY", "get error BUSY"}},
		{"skip, busy", append(skip[:5:5], "s: "+strings.Repeat(busy+`\r\n`, 4)), []string{"client|reply error BUSY", "get error BUSY", "lpush error BUSY", "get error BUSY"}},
		{"skip, no password", append(skip[:5:5], "S: -NOAUTH x", "S: -NOAUTH x", "S: -NOAUTH x", "S: -NOAUTH x"), []string{"client|reply error NOAUTH", "get error NOAUTH", "lpush error NOAUTH", "get error NOAUTH"}},
		{"skip obeyed, then an error", append(skip[:5:5], "s: "+wrong, "S: $-1"), []string{"client|reply silent", "get silent", "lpush error WRONGTYPE", "get success"}},
		{"skip obeyed, then an error without a known prefix", append(skip[:5:5], "S: -ERR value is not an integer", "S: $-1"), []string{"client|reply silent", "get silent", "lpush error ERR", "get success"}},
		{"skip obeyed, then one that names a client", []string{"open", "C: CLIENT REPLY SKIP", "C: GET a", "C: CLIENT KILL x", "S: -ERR wrong number of arguments for 'client|kill' command"}, []string{"client|reply silent", "get silent", "client|kill error ERR"}},
		{"skip obeyed, not permitted what follows", []string{"open", "C: CLIENT REPLY SKIP", "C: GET a", "C: SET a 1", "S: -NOPERM this user has no permissions to run the 'set' command"}, []string{"client|reply silent", "get silent", "set error NOPERM"}},
		{"skip refused and nothing behind", []string{"open", "C: CLIENT REPLY SKIP", "C: GET a", "S: -ERR no", "S: $-1", "+60ms"}, []string{"client|reply error ERR", "get success"}},
		{"skip refused, more asked meanwhile", []string{"open", "C: CLIENT REPLY SKIP", "C: GET a", "S: -ERR no", "C: LPUSH a 1", "S: $-1", "s: " + wrong}, []string{"client|reply error ERR", "get success", "lpush error WRONGTYPE"}},
		{"error before its request behind a skip", []string{"open", "C: CLIENT REPLY SKIP", "C: GET a", "later C: LPUSH a 1", "S: -ERR no", "now", "C: GET b", "S: $-1"}, []string{"client|reply silent", "get silent", "lpush error ERR", "get success"}},
		{"reply before its request behind a skip", []string{"open", "C: CLIENT REPLY SKIP", "C: GET a", "later C: GET b", "S: $-1", "now"}, []string{"client|reply silent", "get silent", "get success"}},
		{"nothing but silence", append([]string{"open"}, append(slices.Repeat([]string{"C: CLIENT REPLY SKIP", "C: GET a"}, 20), "+1s")...), slices.Repeat([]string{"client|reply silent", "get silent"}, 20)},
		{"closed in doubt", []string{"open", "C: CLIENT REPLY OFF", "C: GET a", "close"}, []string{"client|reply silent", "get silent"}},
		{"dump behind a skip", []string{"open", "C: CLIENT REPLY SKIP", "C: PING", "C: SYNC", `s: $100\r\nREDIS`, "C: REPLCONF ACK 1"}, []string{"client|reply silent", "ping silent", "sync success", "replconf silent"}},
		{"EXEC behind a skip", []string{"open", "C: CLIENT REPLY SKIP", "C: MULTI", "C: LPUSH a 1", "C: EXEC", `s: +QUEUED\r\n*1\r\n` + wrong}, []string{"client|reply silent", "multi silent", "lpush error WRONGTYPE", "exec success"}},
		{"ACK refused", []string{"open", "C: REPLCONF ACK 1", "C: GET a", "C: LPUSH a 1", "S: -NOPERM User x has no permissions to run the 'replconf' command", "S: $-1", "s: " + wrong}, []string{"replconf error NOPERM", "get success", "lpush error WRONGTYPE"}},
		{"ACK refused by a proxy", []string{"open", "C: REPLCONF ACK 1", "S: -ERR invalid command", "C: GET a", "S: $-1", "+60ms"}, []string{"replconf error ERR", "get success"}},
		{"ACK obeyed, then an error", []string{"open", "C: REPLCONF ACK 1", "C: LPUSH a 1", "s: " + wrong}, []string{"replconf silent", "lpush error WRONGTYPE"}},
		{"second MONITOR refused", []string{"open", "C: MONITOR", "S: +OK", "C: MONITOR", "S: -NOPERM User x has no permissions to run the 'monitor' command", "+60ms", "C: PING", "S: +PONG"}, []string{"monitor success", "monitor error NOPERM", "ping success"}},
		{"acknowledgement behind an ACK", []string{"open", "C: REPLCONF ACK 1", "C: SUBSCRIBE a", `s: *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`}, []string{"replconf silent", "subscribe success"}},
	})
}

// What is in doubt takes places like all that is outstanding. Where there are no more, silence is believed rather than anything lost.
func TestDoubtIsBounded(t *testing.T) {
	p := newPlayer(t)
	p.tracker.shared.MaxOutstanding = 16
	p.play("open", "C: CLIENT REPLY OFF")
	for range 20 {
		p.play("C: GET a", "C: SET a 1")
	}
	assert.Equal(t, append([]string{"client|reply silent"}, slices.Repeat([]string{"get silent", "set silent"}, 20)...), p.got)
	assert.Zero(t, p.tracker.Outstanding())
}

// A doubt ends by itself on a connection that is silent, and is not watched any more.
func TestDoubtEnds(t *testing.T) {
	p := newPlayer(t)
	p.play("open", "C: CLIENT REPLY OFF", "C: GET a")
	assert.Equal(t, 2, p.tracker.Outstanding())
	p.play("+500ms")
	assert.Empty(t, p.got)
	p.play("+500ms")
	assert.Equal(t, []string{"client|reply silent", "get silent"}, p.got)
	assert.Empty(t, p.tracker.waiting.entries)
	p.play("C: GET b")
	assert.Len(t, p.got, 3, "the next ones are silent at once")
	assert.Less(t, p.now, int64(2*time.Second))
}
