package correlate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// gate notes what is turned away.
type gate struct {
	turned []event.Direction
	again  int // readmissions of connection 7
	all    int
}

func (g *gate) TurnAway(_ uint64, _ event.Role, direction event.Direction, _ int64, _ event.Plaintext) {
	g.turned = append(g.turned, direction)
}
func (g *gate) Readmit(conn uint64) {
	if conn == 7 {
		g.again++
	}
}
func (g *gate) ReadmitAll() { g.all++ }

func newGuarded(t *testing.T) (*player, *gate) {
	p, g := newPlayer(t), new(gate)
	p.tracker.Guard(g)
	return p, g
}

func TestWhatIsNotReadIsTurnedAway(t *testing.T) {
	const request, reply = event.Request, event.Reply
	for _, test := range []struct {
		name   string
		script []string
		turned []event.Direction
		got    []string
	}{
		{"Redis", []string{"open", "C: GET a", "S: $-1", "close"}, nil, []string{"get success"}},
		{"encrypted", []string{"open", `c: \x16\x03\x01\x00\x05hello`, `s: \x16\x03\x03`, `c: \x17\x03`, `gap c: more`, "close"}, nil, nil},
		{"not Redis", []string{"open", "C: GET a", "s: HTTP/1.1 400\\r\\n", "s: more", "C: GET b", "close"}, []event.Direction{reply, request}, nil},
		{
			"replica", []string{
				"open", "C: PSYNC a 1", "S: +FULLRESYNC a 1", "s: $5\\r\\nhello", "gap s: *1\\r\\n", "lose s: whatever", "C: REPLCONF ACK 1",
				"s: here again", "C: REPLCONF ACK 2", "peer-close", "close",
			},
			[]event.Direction{reply, reply, reply}, []string{"psync success", "replconf silent", "replconf silent"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, g := newGuarded(t)
			script := slices.Clone(test.script)
			for i := range script {
				script[i] = strings.NewReplacer(`\x16`, "\x16", `\x17`, "\x17", `\x03`, "\x03", `\x01`, "\x01", `\x05`, "\x05").Replace(script[i])
			}
			if test.name == "encrypted" {
				test.turned = []event.Direction{reply, request, request}
			}
			assert.Equal(t, test.got, p.play(script...))
			assert.Equal(t, test.turned, g.turned)
			gaps := p.tracker.Stats().Gaps
			assert.Zero(t, gaps[0], "what was turned away is no gap")
			assert.Zero(t, g.again+g.all)
		})
	}
}

func TestStrangersAreTurnedAway(t *testing.T) {
	p, g := newGuarded(t)
	named := false
	p.tracker.options.Resolve = func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, named }
	p.play("open", "C: GET a", "S: $-1")
	assert.Equal(t, []event.Direction{event.Request, event.Reply}, g.turned)
	named = true
	p.tracker.Rename(nil)
	assert.Equal(t, 1, g.all)
	p.play("lose C: GET b", "lose S: $-1", "C: GET c", "S: $-1", "+1s", "C: GET d", "S: $-1")
	assert.Len(t, g.turned, 2)
	assert.Equal(t, []string{"unpaired 1 mid_stream", "get success"}, p.got)
	assert.Zero(t, p.tracker.Stats().Gaps)
}

// A server that has turned away reads no more. Should it turn out that it does, the rest is wanted again.
func TestRequestsThatNobodyReadsAreTurnedAway(t *testing.T) {
	p, g := newGuarded(t)
	p.play("open", "C: GET a", "S: $-1", `c: *1\r\n!\r\n`)
	rest := fmt.Sprintf("c: %s", strings.Repeat("x", mostUnwanted/2))
	p.play(rest, rest)
	assert.Empty(t, g.turned)
	p.play(rest, "lose "+rest)
	assert.Len(t, g.turned, 1)
	p.play("S: +PONG")
	assert.Equal(t, 1, g.again)
	p.play("+1s", "C: GET b", "S: $-1", "+1s", "S: $-1", "+1s", "C: GET c", "S: $-1")
	assert.Equal(t, "get success", p.got[len(p.got)-1])
	assert.Len(t, g.turned, 1)
}
