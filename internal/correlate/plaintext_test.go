package correlate

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// tlsPlayer plays a TLS connection: its ciphertext by lines, its plaintext by plain and hole.
type tlsPlayer struct {
	*player
	kind   event.Plaintext
	offset [2]uint32
}

// plain passes lines as plaintext.
func (p *tlsPlayer) plain(lines ...string) {
	p.tb.Helper()
	for _, line := range lines {
		p.now += 1e6
		d, data := p.parse(line)
		p.event(event.Event{Kind: event.Data, Direction: d, Seq: p.offset[d], Data: data, Plaintext: p.kind})
		p.offset[d] += uint32(len(data))
	}
}

// hole passes a gap of unknown length.
func (p *tlsPlayer) hole(d event.Direction, n uint32) {
	p.event(event.Event{Kind: event.Gap, Direction: d, Seq: p.offset[d], Len: n, Reason: event.Unseen, Plaintext: p.kind})
	p.offset[d] += n
}

// handshake is the ciphertext by which a connection is recognised.
func (p *tlsPlayer) handshake() {
	p.play("open", `c: `+"\x16\x03\x01\x00\x05hello", `s: `+"\x16\x03\x03\x00\x05hello")
}

func encrypted(t *testing.T, role event.Role, kind event.Plaintext) *tlsPlayer {
	p := newPlayer(t)
	p.role = role
	return &tlsPlayer{player: p, kind: kind}
}

func TestPlaintext(t *testing.T) {
	for _, role := range []event.Role{event.Client, event.Server} {
		p := encrypted(t, role, event.WholePlaintext)
		p.handshake()
		assert.EqualValues(t, 1, p.tracker.Stats().Connections[session.KindTLS])
		p.plain("C: GET a", "S: $-1", "C: SET a 1", "S: -ERR no")
		p.play("c: \x17\x03\x03\x00\x05later", "s: \x17\x03\x03\x00\x05later") // ciphertext that was not stopped yet
		p.plain("C: BLPOP a 0")
		p.play("peer-close", "close")
		assert.Equal(t, []string{"get success", "set error ERR", "blpop unanswered " + map[event.Role]string{event.Client: "server_closed", event.Server: "client_closed"}[role]}, p.got)
		stats := p.tracker.Stats()
		assert.EqualValues(t, 1, stats.Connections[session.KindTLS])
		assert.EqualValues(t, 1, stats.Connections[session.KindRedis])
		assert.Zero(t, stats.Gaps)
		assert.Zero(t, stats.Tracked)
	}
}

// An end that closes behind the other one's announcement follows it, unless the other one sent more.
func TestPlaintextEndAnnounced(t *testing.T) {
	reasons := map[event.Role]string{event.Client: "client_closed", event.Server: "server_closed"}
	for _, role := range []event.Role{event.Client, event.Server} {
		for _, left := range []bool{true, false} { // a close that sends a FIN is two events
			for _, more := range []bool{true, false} {
				p := encrypted(t, role, event.WholePlaintext)
				p.handshake()
				p.plain("C: GET a")
				p.event(event.Event{Kind: event.Ending})
				if more {
					p.plain("S: $-1", "C: GET b")
				}
				if left {
					p.event(event.Event{Kind: event.HalfClosed, Left: true})
				}
				p.play("close")
				want := []string{"get unanswered " + reasons[1-role]}
				if more {
					want = []string{"get success", "get unanswered " + reasons[role]}
				}
				assert.Equal(t, want, p.got, "role %d, FIN %t, more %t", role, left, more)
			}
		}
	}
}

// A server that has announced its end has closed, although the client's FIN comes before its own.
func TestPlaintextOwnEndAnnounced(t *testing.T) {
	p := encrypted(t, event.Server, event.WholePlaintext)
	p.handshake()
	p.plain("C: CLIENT KILL TYPE normal SKIPME no", "C: GET never", "S: :1")
	p.event(event.Event{Kind: event.Ending, Left: true})
	p.play("peer-close", "close")
	assert.Equal(t, []string{"client|kill success"}, p.got, "what a server never ran that had closed")
}

// Ciphertext that a client leaves unread may have the replies of the commands behind one that blocks, or none.
func TestPlaintextLeftUnread(t *testing.T) {
	for end, want := range map[string][]string{
		"close":    {"blpop unanswered client_closed"}, // nothing behind it was run
		"close 40": {"blpop unanswered client_closed", "unpaired 2 client_closed"},
		// The server closed because the client's library had said that it would: the client never saw that it did.
		"peer-close, close 40": {"blpop unanswered client_closed", "unpaired 2 client_closed"},
		"peer-close, close":    {"blpop unanswered server_closed"},
	} {
		p := encrypted(t, event.Client, event.WholePlaintext)
		p.handshake()
		p.plain("C: BLPOP a 0", "C: GET a", "C: GET a")
		p.play(append([]string{"+60ms"}, strings.Split(end, ", ")...)...)
		assert.Equal(t, want, p.got, end)
	}
}

// The plaintext of a connection that was connected before its library was probed is in mid-stream.
func TestPlaintextInMidStream(t *testing.T) {
	p := encrypted(t, event.Client, event.PlaintextFromHere)
	p.handshake()
	p.plain("S: $-1", "C: GET a", "S: $-1")
	p.play("+60ms")
	p.plain("C: GET a", "S: $-1")
	p.play("close")
	assert.Equal(t, []string{"unpaired 1 mid_stream", "get success"}, p.got)
}

// A connection in mid-stream is recognised by what its program sends: it may receive a record's header by itself.
func TestCiphertextInMidStream(t *testing.T) {
	for role, lines := range map[event.Role][]string{
		event.Client: {"c: \x17\x03\x03\x00\x05later", "s: \x17\x03\x03\x00\x05", "s: later"},
		event.Server: {"c: \x17\x03\x03\x00\x05", "c: later", "s: \x17\x03\x03\x00\x05later"},
	} {
		p := encrypted(t, role, event.PlaintextFromHere)
		p.play("existing")
		p.play(lines...)
		assert.EqualValues(t, 1, p.tracker.Stats().Connections[session.KindTLS], role)
		p.plain("C: GET a", "S: $-1")
		p.play("+60ms")
		p.plain("C: GET a", "S: $-1")
		p.play("close")
		assert.Equal(t, []string{"unpaired 1 mid_stream", "get success"}, p.got, role)
	}
}

// Plaintext may come before the ciphertext that shows that the connection is TLS.
func TestPlaintextFirst(t *testing.T) {
	p := encrypted(t, event.Client, event.WholePlaintext)
	p.play("open")
	p.plain("C: GET a")
	p.play(`c: `+"\x16\x03\x01\x00\x05hello", `s: `+"\x16\x03\x03\x00\x05hello")
	p.plain("S: $-1")
	p.play("close")
	assert.Equal(t, []string{"get success"}, p.got)
	assert.EqualValues(t, 1, p.tracker.Stats().Connections[session.KindTLS])
}

// A hole is a gap wherever it is: its length is not known, so it cannot be inside a value.
func TestHoleInPlaintext(t *testing.T) {
	p := encrypted(t, event.Client, event.WholePlaintext)
	p.handshake()
	p.plain("C: GET a", `s: $100\r\nxxxx`)
	p.hole(event.Reply, 50)
	p.plain("S: +OK")
	p.play("close")
	assert.Equal(t, []string{"unpaired 1 gap"}, p.got)
	assert.EqualValues(t, 50, p.tracker.Stats().Gaps[event.Unseen].BrokenBytes)
}

// A listing compares no offsets of the socket with those of the plaintext.
func TestListedPlaintext(t *testing.T) {
	p := encrypted(t, event.Client, event.WholePlaintext)
	p.handshake()
	p.plain("C: GET a")
	p.event(event.Event{Kind: event.Existing, Seq: 5000, ReplySeq: 9000})
	p.play("+2s")
	p.plain("S: $-1")
	p.play("close")
	assert.Equal(t, []string{"get success"}, p.got)
}

// What is no Redis, or encrypted once more, is turned away.
func TestPlaintextThatIsNotRedis(t *testing.T) {
	p := encrypted(t, event.Client, event.WholePlaintext)
	g := new(gate)
	p.tracker.Guard(g)
	p.handshake()
	before := len(g.turned)
	p.plain("c: \x16\x03\x01\x00\x05hello", "s: \x16\x03\x03\x00\x05hello")
	assert.Greater(t, len(g.turned), before)
	p.play("close")
	assert.Empty(t, p.got)
}
