package correlate

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// pool returns the newest pool, but for its bytes.
func (p *player) pool() (pool Pool) {
	p.tracker.pools.publish()
	if all := p.tracker.Pools(); len(all) > 0 {
		pool = all[len(all)-1]
		pool.Unassigned = [2]uint64{}
	}
	return pool
}

func TestPoolFollowsTheConnection(t *testing.T) {
	p := newPlayer(t)
	for _, step := range []struct {
		line             string
		available, inUse int64
	}{
		{"open", 1, 0}, {"C: GET a", 0, 1}, {"S: $-1", 1, 0},
		{"C: MULTI", 0, 1}, {"S: +OK", 1, 0}, {"C: GET a", 0, 1}, {"S: +QUEUED", 0, 1}, {"C: DISCARD", 0, 1}, {"S: +OK", 1, 0},
		{"C: SUBSCRIBE a", 0, 1}, {`s: *3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n`, 0, 1},
		{"C: UNSUBSCRIBE", 0, 1}, {`s: *3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n`, 1, 0},
		{"half-close", 0, 0}, {"peer-close", 0, 0}, {"close", 0, 0},
	} {
		p.line(step.line)
		assert.Equal(t, Pool{Available: step.available, InUse: step.inUse}, p.pool(), step.line)
	}
	assert.Zero(t, p.tracker.Stats().Tracked)
}

func TestDuration(t *testing.T) {
	p := newPlayer(t)
	p.full = true
	assert.Equal(t, []string{"get success 6ms", "set success 4ms", "set unanswered client_closed 2ms"},
		p.play("open", "c: *2\\r\\n$3\\r\\nG", "+1ms", "c: ET\\r\\n$1\\r\\na\\r\\n", "C: SET a 1", "s: $1\\r\\n", "s: x\\r\\n", "tick", "S: +OK", "C: SET a 1", "tick", "close")[:3])
}

func TestRename(t *testing.T) {
	p := newPlayer(t)
	name, ok := identity.ID(0), true
	p.tracker.options.Resolve = func(event.Role, *event.Endpoints) (identity.ID, bool) { return name, ok }
	p.play("open", "C: GET a")
	name = 1
	p.tracker.Rename(nil)
	assert.Equal(t, []Pool{{Identity: 0}, {Identity: 1, InUse: 1}}, p.tracker.Pools())
	assert.Equal(t, []string{"get success"}, p.play("S: $-1"), "no state is lost")
	ok = false
	p.tracker.Rename(nil)
	assert.Equal(t, []Pool{{Identity: 0}, {Identity: 1}}, p.tracker.Pools())
	p.play("C: GET a", "S: $-1")
	assert.Len(t, p.got, 1, "what is not ours is not counted")
	ok = true
	p.tracker.Rename(nil)
	assert.Equal(t, []Pool{{Identity: 0}, {Identity: 1, Available: 1}}, p.tracker.Pools())
}

// An identity ends when no connection is tracked under it, established or not.
func TestEnd(t *testing.T) {
	p := newPlayer(t)
	assert.False(t, p.tracker.Used(0))
	assert.True(t, p.tracker.End(0), "it never began")
	p.play("open", "C: GET a")
	assert.True(t, p.tracker.Used(0))
	assert.False(t, p.tracker.End(0))
	p.play("half-close")
	assert.False(t, p.tracker.End(0))
	p.play("close")
	assert.Len(t, p.tracker.Pools(), 1)
	assert.True(t, p.tracker.End(0))
	assert.Empty(t, p.tracker.Pools())
	assert.False(t, p.tracker.Used(0))
}

func TestIgnoredUntilClosed(t *testing.T) {
	p := newPlayer(t)
	lookups := 0
	p.tracker.options.Resolve = func(event.Role, *event.Endpoints) (identity.ID, bool) { lookups++; return 0, false }
	p.play("open", "C: GET a", "S: $-1", "close")
	assert.Equal(t, 1, lookups)
	assert.Empty(t, p.tracker.ignored)
	assert.Empty(t, p.got)
}

func TestConnectionsAreBounded(t *testing.T) {
	p := newPlayer(t)
	p.tracker.table.limit = 10
	for i := range uint64(1000) {
		p.conn = i
		p.play("open", "C: GET a")
	}
	s := p.tracker.Stats()
	assert.EqualValues(t, 10, s.Tracked)
	assert.EqualValues(t, 990, s.Evicted)
	assert.EqualValues(t, 10, p.pool().InUse)
	assert.Len(t, p.got, 990, "what was outstanding is counted as unpaired")
}

func TestOutstandingIsBounded(t *testing.T) {
	p := newPlayer(t)
	p.tracker.shared.MaxOutstanding = 8
	p.play("open")
	for range 9 {
		p.line("C: GET a")
	}
	assert.Equal(t, []string{"unpaired 8 overflow", "unpaired 1 overflow"}, p.got)
}

func TestHeldIsBounded(t *testing.T) {
	p := newPlayer(t)
	p.play("open", "lose C: GET a")
	for range 10 * p.tracker.options.MaxSegments {
		p.line("c: " + big(8192))
	}
	assert.LessOrEqual(t, p.tracker.held.used, p.tracker.options.MaxHeld)
	assert.NotZero(t, p.tracker.Stats().HeldOverflow)
}

func TestLockstep(t *testing.T) {
	for _, test := range []struct {
		role   event.Role
		rounds int
	}{{event.Client, session.ClientRounds}, {event.Server, session.ServerRounds}} {
		p := newPlayer(t)
		p.role = test.role
		p.play("existing", "S: $-1")
		for range test.rounds + 3 {
			p.line("C: GET a")
			p.line("S: $-1")
		}
		assert.Equal(t, "unpaired 1 mid_stream", p.got[test.rounds-1])
		assert.Equal(t, "get success", p.got[len(p.got)-1])
	}
}

func TestWindowOfRequestsIsNoLockstep(t *testing.T) {
	p := newPlayer(t)
	p.play("existing", "C: GET a")
	for i := range 1000 {
		p.line("C: GET a")
		p.line("S: $-1")
		if i%50 == 0 { // the jitter that every such client has
			p.line("S: $-1")
			p.line("C: GET a")
		}
	}
	assert.NotContains(t, p.got, "get success")
}

func TestStats(t *testing.T) {
	for _, test := range []struct {
		script []string
		want   string
	}{
		{[]string{"open", "C: GET a", "S: $-1"}, "redis"},
		{[]string{"open", "C: PSYNC ? -1", "S: +CONTINUE"}, "redis replica"},
		{[]string{"open", "c: \x16\x03\x01"}, "tls"},
		{[]string{"open", `c: GET /\r\n`, "s: HTTP/1.1 200"}, "not_redis"},
		{[]string{"open", "C: GET a", "s: HTTP/1.1 200"}, "not_redis"},
		{[]string{"open", `c: EHLO x\r\n`, "close"}, "not_redis"},
	} {
		p := newPlayer(t)
		p.play(test.script...)
		got := ""
		for kind, n := range p.tracker.Stats().Connections {
			if n > 0 {
				got += fmt.Sprint(" ", session.Kind(kind))
			}
		}
		assert.Equal(t, " "+test.want, got, "%q", test.script)
	}
	p := newPlayer(t)
	p.play("open", `c: *2\r\n$4\r\nECHO\r\n$200\r\n`+big(80), "gap c: "+big(100), "c: "+big(20)+`\r\n`, "S: -ERR", "gap C: GET a", "close")
	gaps := p.tracker.Stats().Gaps[event.Truncated]
	assert.Equal(t, Gaps{Skipped: 1, SkippedBytes: 100, Broken: 1, BrokenBytes: 20}, gaps)
	q := newPlayer(t)
	q.play("open", "S: -ERR max number of clients reached", "+60ms", "close")
	assert.EqualValues(t, 1, q.tracker.Stats().Unsolicited)
}

func TestListedForgetsWhatWasNotHeardOf(t *testing.T) {
	p := newPlayer(t)
	p.play("open", "C: GET a")
	p.conn = 8 // its end will be lost
	p.play("open", "C: GET a")
	since := p.now + 1
	p.conn = 7
	p.play("existing")
	p.event(event.Event{Kind: event.Listed, Time: since})

	assert.Equal(t, []string{"unpaired 1 lost_close"}, p.got)
	assert.Equal(t, Pool{InUse: 1}, p.pool(), "the one that was listed keeps its state")
	assert.EqualValues(t, 1, p.tracker.Stats().LostConnections)
	assert.Equal(t, []string{"unpaired 1 lost_close", "get success"}, p.play("S: $-1"))
}

// No event reports that a Unix socket closes while its other end makes no call: what a listing does not find, the observed end closed.
func TestListedEndsUnixSockets(t *testing.T) {
	for _, test := range []struct {
		role event.Role
		want string
	}{
		{event.Client, "get unanswered client_closed"},
		{event.Server, "get unanswered server_closed"},
	} {
		p := newPlayer(t)
		p.role, p.path = test.role, true
		p.play("open", "C: SET a 1", "S: +OK", "C: GET a", "+1s")
		p.event(event.Event{Kind: event.Listed, Time: p.now})
		assert.Equal(t, []string{"set success", test.want}, p.got)
		assert.Equal(t, Pool{}, p.pool())
		assert.Zero(t, p.tracker.Stats().LostConnections)
		p.play("open", "lose C: GET a", "C: GET b", "+1s")
		p.event(event.Event{Kind: event.Listed, Time: p.now})
		assert.EqualValues(t, 1, p.tracker.Stats().LostConnections, "it was desynced")
	}
}

// On a Unix socket a send has the time of its end, and another thread may have received the reply before.
func TestReplyBeforeTheEndOfItsSend(t *testing.T) {
	for path, want := range map[bool][]string{true: {"get success"}, false: {"unpaired 1 unsolicited"}} {
		p := newPlayer(t)
		p.path = path
		p.play("open", "C: SET a 1", "S: +OK")
		p.got = nil
		p.event(event.Event{Kind: event.Data, Direction: event.Reply, Time: p.now + 1000, Seq: p.seq[event.Reply], Data: []byte("$-1\r\n")})
		p.event(event.Event{Kind: event.Data, Direction: event.Request, Time: p.now + 2000, Seq: p.seq[event.Request], Data: request("GET", "a")})
		assert.Equal(t, want, p.got, "path: %v", path)
	}
}

// A Unix socket was freed, and its offsets are not known.
func TestClosedWithoutOffsets(t *testing.T) {
	p := newPlayer(t)
	p.path = true
	p.play("open", "C: GET a", "S: $-1", "C: QUIT")
	p.event(event.Event{Kind: event.Closed, Unplaced: true})
	assert.Equal(t, []string{"get success", "quit unanswered client_closed"}, p.got)
	assert.Equal(t, Pool{}, p.pool())
}

// A send that waited for room while the connections were listed: its event comes after the listing's, with the time at which it began.
func TestListedKeepsWhoseSendTookLong(t *testing.T) {
	p := newPlayer(t)
	p.play("open")
	began := p.now
	p.play("+1s")
	since := p.now + 1
	p.play("existing")
	request := []byte("*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
	p.event(event.Event{Kind: event.Data, Time: began, Seq: p.seq[event.Request], Data: request})
	p.event(event.Event{Kind: event.Listed, Time: since})

	assert.Zero(t, p.tracker.Stats().LostConnections)
	assert.Equal(t, []string{"get success"}, p.play("S: $-1"))
}

func TestListedKeepsWhatIsHalfClosed(t *testing.T) {
	p := newPlayer(t)
	p.play("open", "C: GET a", "half-close")
	since := p.now + 1
	p.play("half-close") // as in a listing
	p.event(event.Event{Kind: event.Listed, Time: since})

	assert.Zero(t, p.tracker.Stats().LostConnections)
	assert.Equal(t, []string{"get success"}, p.play("S: $-1"))

	p.event(event.Event{Kind: event.Listed, Time: p.now + 1})
	assert.Empty(t, p.tracker.conns, "the close of its socket was lost")
	assert.Zero(t, p.tracker.Stats().LostConnections, "and with it nothing")
}

func TestExpireGivesUpEveryHole(t *testing.T) {
	p := newPlayer(t)
	p.play("open")
	for range 5 {
		p.play("lose C: GET a", "C: GET b")
	}
	assert.Empty(t, p.got)
	assert.Equal(t, []string{"unpaired 1 gap"}, p.play("+100ms")[:1])
	got := len(p.got)
	assert.Len(t, p.play("+1s", "close"), got, "nothing is left for later")
	assert.EqualValues(t, 5, p.tracker.Stats().Gaps[0].Broken)
}

func TestReusedAfterItsEndWasTold(t *testing.T) {
	p := newPlayer(t)
	p.play("open", "C: GET a", "S: $-1", "peer-close", "open", "C: GET b", "S: $-1")
	assert.Equal(t, []string{"get success", "get success"}, p.got)
	assert.Zero(t, p.tracker.Stats().LostConnections, "nothing is missing but the close of its socket")

	p.play(`c: *2\r\n$3\r\nGET`, "half-close", "open")
	assert.Zero(t, p.tracker.Stats().LostConnections, "half a request is none")

	p.play("half-close", "C: GET c", "open")
	assert.Zero(t, p.tracker.Stats().LostConnections, "what it asked is not answered any more")
	assert.Contains(t, p.got[len(p.got)-1], "get unanswered client_closed")
}

func TestExistingConnectionThatAwaitsAReplyIsInUse(t *testing.T) {
	p := newPlayer(t)
	p.event(event.Event{Kind: event.Existing, Seq: 10, ReplySeq: 20, Awaited: true})
	assert.Equal(t, Pool{InUse: 1}, p.pool())
	p.event(event.Event{Kind: event.Data, Direction: event.Reply, Seq: 20, Data: []byte("*-1\r\n")})
	assert.Equal(t, Pool{Available: 1}, p.pool())
	assert.Empty(t, p.got)
}

func TestPongTellsOfASubscriptionInMidStream(t *testing.T) {
	p := newPlayer(t)
	p.play("existing", "+100ms", "C: PING", `s: *2\r\n$4\r\npong\r\n$0\r\n\r\n`)
	assert.Equal(t, Pool{InUse: 1}, p.pool())
	p.play("C: UNSUBSCRIBE a", `s: *3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n`, "C: PING", "S: +PONG")
	assert.Equal(t, Pool{Available: 1}, p.pool())
	assert.Equal(t, []string{"ping success", "unsubscribe success", "ping success"}, p.got)
}
