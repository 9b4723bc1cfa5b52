package correlate

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// player feeds a tracker with the events of one connection, written as a script:
//
//	open | opening | existing | half-close | peer-close | close | tick
//	leave             half-close of a program that has closed and reads no more
//	reset | broken    peer-close by the other end at one stroke, or by neither end
//	left-close        peer-close after this end had closed
//	close 5           close with so many bytes unread
//	C: SET a 1        the client sends a multibulk request; fields may be Go-quoted
//	c: PING\r\n       the client sends these bytes
//	S: +OK            the server sends this and CRLF
//	s: $5\r\nhe       the server sends these bytes
//	later C: …        the bytes that follow are sent first, those of this line arrive with the next "now"
//	now               the ones that were put off arrive
//	lose C: …         these bytes pass and are not captured, without an event
//	gap S: …          these bytes pass and are not captured, but for a Gap event
//	splice S: …       these bytes pass, and are in no memory
//	urgent S: …       these bytes are urgent data
//	inline S: …       they are, and were received with the others
//	+20ms             time passes; each line takes 1 ms by itself
type player struct {
	tb      testing.TB
	tracker *Tracker
	role    event.Role
	reach   event.Reach // of the events that have none of their own
	now     int64
	seq     [2]uint32
	conn    uint64
	put     []event.Event
	got     []string
	took    func(session.Exchange) // is given each, unless nil
	full    bool                   // show durations
	path    bool                   // the connection is one over a Unix socket
}

const (
	firstRequestSeq = 0xfffffff0 // wraps around soon
	firstReplySeq   = 0x7ffffffa
)

func newPlayer(tb testing.TB) *player {
	p := &player{tb: tb, conn: 7, seq: [2]uint32{firstRequestSeq, firstReplySeq}}
	p.tracker = New(Options{Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, true }})
	checkStates(tb, p.tracker)
	return p
}

// checkStates fails the test on a change of state that is not in the table.
func checkStates(tb testing.TB, t *Tracker) {
	t.shared.Trace = func(from session.State, cause session.Cause) {
		if !session.Listed(from, cause) {
			tb.Errorf("no transition from %s by %s", from, cause)
		}
	}
}

func (p *player) play(lines ...string) []string {
	p.tb.Helper()
	for _, line := range lines {
		p.line(line)
	}
	return p.got
}

func (p *player) line(line string) {
	p.tb.Helper()
	p.now += int64(time.Millisecond)
	if strings.HasPrefix(line, "+") {
		d, err := time.ParseDuration(line[1:])
		require.NoError(p.tb, err)
		p.now += int64(d)
		p.event(event.Event{Kind: event.Tick})
		return
	}
	kinds := map[string]event.Kind{
		"open": event.Open, "opening": event.Opening, "existing": event.Existing, "half-close": event.HalfClosed,
		"peer-close": event.PeerClosed, "close": event.Closed, "tick": event.Tick,
	}
	if kind, ok := kinds[line]; ok {
		p.event(event.Event{Kind: kind, Seq: p.seq[event.Request], ReplySeq: p.seq[event.Reply]})
		return
	}
	if e, ok := p.ending(line); ok {
		e.Seq, e.ReplySeq = p.seq[event.Request], p.seq[event.Reply]
		p.event(e)
		return
	}
	if line == "now" {
		for _, e := range p.put {
			p.event(e)
		}
		p.put = nil
		return
	}
	p.bytes(line)
}

// ending returns the event of a line that has more of an end than its kind.
func (p *player) ending(line string) (e event.Event, ok bool) {
	unread, closes := strings.CutPrefix(line, "close ")
	switch {
	case line == "leave":
		return event.Event{Kind: event.HalfClosed, Left: true}, true
	case line == "reset":
		return event.Event{Kind: event.PeerClosed, Cut: event.Reset}, true
	case line == "broken":
		return event.Event{Kind: event.PeerClosed, Cut: event.Broken}, true
	case line == "left-close":
		return event.Event{Kind: event.PeerClosed, Left: true}, true
	case closes:
		n, err := strconv.ParseUint(unread, 10, 8)
		require.NoError(p.tb, err)
		return event.Event{Kind: event.Closed, Unread: uint8(n)}, true
	}
	return e, false
}

func (p *player) bytes(line string) {
	how := ""
	if word, rest, ok := strings.Cut(line, " "); ok && (word == "later" || word == "lose" || word == "gap" || word == "splice" || word == "urgent" || word == "inline") {
		how, line = word, rest
	}
	direction, data := p.parse(line)
	e := event.Event{Kind: event.Data, Direction: direction, Seq: p.seq[direction], Data: data}
	p.seq[direction] += uint32(len(data))
	switch how {
	case "later":
		e.Time = p.now
		p.put = append(p.put, e)
	case "gap", "splice", "urgent":
		reasons := map[string]event.Reason{"gap": event.Truncated, "splice": event.NotInMemory, "urgent": event.Urgent}
		e.Kind, e.Data, e.Len, e.Reason = event.Gap, nil, uint32(len(data)), reasons[how]
		p.event(e)
	case "inline":
		e.Reason = event.Urgent
		p.event(e)
	case "":
		p.event(e)
	}
}

func (p *player) parse(line string) (event.Direction, []byte) {
	p.tb.Helper()
	kind, text, ok := strings.Cut(line, ": ")
	require.True(p.tb, ok, "script line %q", line)
	raw := strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\x00`, "\x00").Replace(text)
	switch kind {
	case "C":
		return event.Request, request(strings.Fields(text)...)
	case "c":
		return event.Request, []byte(raw)
	case "S":
		return event.Reply, []byte(raw + "\r\n")
	case "s":
		return event.Reply, []byte(raw)
	}
	require.Fail(p.tb, "script line", "%q", line)
	return 0, nil
}

// request encodes a command.
var request = resp.Request

func (p *player) event(e event.Event) {
	e.Conn, e.Role, e.Reach = p.conn, p.role, max(e.Reach, p.reach)
	if !p.path {
		e.Endpoints.LocalPort, e.Endpoints.RemotePort = 1, 1
	}
	if e.Time == 0 {
		e.Time = p.now
	}
	p.take(p.tracker.Track(&e))
}

// take notes each command that exchanges stand for.
func (p *player) take(exchanges []session.Exchange) {
	for _, x := range exchanges {
		if p.took != nil {
			p.took(x)
		}
		for range commands(x) {
			p.got = append(p.got, p.show(x))
		}
	}
}

// commands returns how many commands were paired.
func commands(x session.Exchange) uint32 {
	if x.Outcome == session.Unpaired {
		return 1
	}
	return x.Count
}

// show renders an exchange: "get success", "get error WRONGTYPE", "get unanswered server_closed", "unpaired 3 gap".
func (p *player) show(x session.Exchange) string {
	name := command.Builtin().Wire(x.Command)
	switch x.Outcome {
	case session.Success:
		name += " success"
	case session.Error:
		name += " error " + x.Prefix.String()
	case session.Silent:
		name += " silent"
	case session.Unanswered:
		name += " unanswered " + x.Reason.String()
	case session.Unpaired:
		return fmt.Sprintf("unpaired %d %s", x.Count, x.Reason)
	}
	if p.full {
		name += " " + strconv.FormatInt(x.Duration/int64(time.Millisecond), 10) + "ms"
	}
	return name
}
