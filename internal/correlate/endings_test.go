package correlate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/event"
)

// listed plays a listing that begins now and finds something.
func (p *player) listed(found ...string) {
	p.tb.Helper()
	p.now++
	since := p.now
	p.play(found...)
	p.event(event.Event{Kind: event.Listed, Time: since})
	for p.tracker.errant {
		p.event(event.Event{Kind: event.Tick})
	}
}

// A client that closes with its replies unread, and whose socket's close has no event.
func TestMissedEndAfterAClose(t *testing.T) {
	script := []string{"open", "C: HELLO 3", "C: GET a", "half-close"}
	want := []string{"hello unanswered client_closed", "get unanswered client_closed"}
	t.Run("the address is used again", func(t *testing.T) {
		p := newPlayer(t)
		p.play(script...)
		assert.Equal(t, append(want, "get success"), p.play("open", "C: GET a", "S: $-1"))
		assert.Zero(t, p.tracker.Stats().LostConnections)
	})
	t.Run("it is not", func(t *testing.T) {
		p := newPlayer(t)
		p.play("+1s", "+1s")
		assert.False(t, p.tracker.Overdue())
		p.play(script...)
		overdue := time.Duration(0)
		for ; !p.tracker.Overdue() && overdue < time.Minute; overdue += time.Second {
			p.play("+1s")
		}
		assert.Less(t, overdue, 3*endingPeriod, "somebody has to look")
		assert.Empty(t, p.got)
		p.listed()
		assert.Equal(t, want, p.got)
		assert.Empty(t, p.tracker.conns)
		assert.Zero(t, p.tracker.Stats().LostConnections)
		assert.Zero(t, p.tracker.endings.old+p.tracker.endings.fresh)
	})
}

// A connection that stays half closed is looked at now and then, and not all the time; one more is looked at soon.
func TestOverdueIsNotForEver(t *testing.T) {
	p := newPlayer(t)
	p.play("open", "half-close")
	looks := func(seconds int) (n int) {
		for range seconds {
			p.play("+1s")
			if p.tracker.Overdue() {
				n++
				p.listed("half-close")
			}
		}
		return n
	}
	assert.Equal(t, 1, looks(60))
	assert.InDelta(t, 4, looks(1200), 1)
	p.conn++
	p.play("open", "half-close")
	p.conn--
	assert.Equal(t, 1, looks(70))
	require.Len(t, p.tracker.conns, 1, "the other one is gone")
}

func TestListedForgetsOnlyWhatItReaches(t *testing.T) {
	for _, test := range []struct {
		name   string
		reach  event.Reach
		role   event.Role
		script []string
		after  string
		kept   bool
	}{
		{"always", event.Always, event.Client, nil, "+1s", false},
		{"who holds it may be hidden", event.Never, event.Client, nil, "+10m", true},
		{"closed, who held it may be hidden", event.Never, event.Client, []string{"half-close"}, "+10m", true},
		{"held", event.WhileHeld, event.Client, []string{"C: GET a"}, "+1s", false},
		{"nobody holds it any more", event.WhileHeld, event.Client, []string{"C: GET a", "half-close"}, "+1m", true},
		{"nobody held it for long", event.WhileHeld, event.Client, []string{"C: GET a", "half-close"}, "+6m", false},
		{"not accepted yet", event.WhileHeld, event.Server, nil, "+1m", true},
		{"accepted", event.WhileHeld, event.Server, []string{"C: GET a"}, "+1m", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlayer(t)
			p.role, p.reach = test.role, test.reach
			p.event(event.Event{Kind: event.Open})
			p.play(append(test.script, test.after)...)
			p.listed()
			assert.Equal(t, test.kept, len(p.tracker.conns) == 1)
		})
	}
}

// A connection whose beginning was lost shows where it is when an end closes.
func TestEndTellsTheReach(t *testing.T) {
	p := newPlayer(t)
	p.reach = event.WhileHeld
	p.play("C: GET a")
	p.reach = event.Always
	p.play("peer-close", "+1s")
	p.listed()
	assert.Empty(t, p.tracker.conns)
}
