package correlate

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// living returns a player of the connection of a role, and the steps of its life: "opened 5", "closed
// client", "failed 1", "secured 7", each behind the identity if that is not 0.
func living(t *testing.T, role event.Role, sockets bool) (*player, *[]string) {
	p, steps := newPlayer(t), new([]string)
	p.role = role
	p.tracker.options.Sockets = sockets
	p.tracker.options.Label = func(id identity.ID, _ event.Role, _ *event.Endpoints, owner *event.Owner) identity.ID {
		if owner != nil && owner.Complete {
			return 1
		}
		return id
	}
	p.tracker.options.Life = func(l Life) {
		step := ""
		if l.Identity != 0 {
			step = fmt.Sprintf("%d: ", l.Identity)
		}
		switch l.Step {
		case Opened:
			step += fmt.Sprintf("opened %d", l.Took)
		case Closed:
			step += "closed " + [...]string{ByClient: "client", ByServer: "server", ByNetwork: "network"}[l.By]
		case Failed:
			step += fmt.Sprintf("failed %d", l.Failure)
		case Secured:
			step += fmt.Sprintf("secured %d", l.Took)
		}
		*steps = append(*steps, step)
	}
	return p, steps
}

// Who closes a connection is whose FIN or reset comes first, at either end.
func TestClosedBy(t *testing.T) {
	const own, other = "own", "other"
	for _, test := range []struct {
		script []string
		by     string
	}{
		{[]string{"half-close", "peer-close", "close"}, own},
		{[]string{"leave", "peer-close", "close"}, own},
		{[]string{"peer-close", "half-close", "close"}, other},
		{[]string{"peer-close", "close"}, other},
		{[]string{"peer-close", "close 5"}, other}, // the program had not read that it would come
		{[]string{"close"}, own},                   // a reset
		{[]string{"close 5"}, own},
		{[]string{"reset", "close"}, other},
		{[]string{"half-close", "reset", "close"}, own},
		{[]string{"broken", "close"}, "network"},
		{[]string{"half-close", "broken", "close"}, own},
		{[]string{"left-close", "close"}, own}, // its FIN was not seen
	} {
		for _, role := range []event.Role{event.Client, event.Server} {
			by := map[string]string{own: "client", other: "server"}
			if role == event.Server {
				by[own], by[other] = by[other], by[own]
			}
			want := test.by
			if by[want] != "" {
				want = by[want]
			}
			t.Run(fmt.Sprint(test.script, role), func(t *testing.T) {
				p, steps := living(t, role, true)
				p.play("open", "C: PING", "S: +PONG")
				p.play(test.script...)
				assert.Equal(t, []string{"opened 0", "closed " + want}, *steps)
			})
		}
	}
}

// The end that announces its close by an alert closes, even if the other one is faster then.
func TestClosedByAlert(t *testing.T) {
	for _, left := range []bool{false, true} {
		p, steps := living(t, event.Client, true)
		p.play("open")
		p.event(event.Event{Kind: event.Ending, Left: left})
		p.play("half-close", "peer-close", "close")
		assert.Equal(t, []string{"opened 0", map[bool]string{false: "closed server", true: "closed client"}[left]}, *steps)
	}
}

func TestOpened(t *testing.T) {
	incomplete, complete := &event.Owner{}, &event.Owner{Complete: true}
	opened := event.Event{Kind: event.Open, Took: 5}
	t.Run("at once", func(t *testing.T) {
		p, steps := living(t, event.Client, true)
		p.event(opened)
		assert.Equal(t, []string{"opened 5"}, *steps)
	})
	t.Run("an older one is not opened", func(t *testing.T) {
		p, steps := living(t, event.Client, true)
		p.play("existing", "C: PING", "S: +PONG", "half-close", "close")
		assert.Equal(t, []string{"closed client"}, *steps)
	})
	t.Run("by the process of the first call", func(t *testing.T) {
		p, steps := living(t, event.Client, true)
		of := opened
		of.Owner = incomplete
		p.event(of)
		assert.Empty(t, *steps)
		p.event(event.Event{Kind: event.Owned, Owner: complete})
		p.play("half-close", "close")
		assert.Equal(t, []string{"1: opened 5", "1: closed client"}, *steps)
	})
	t.Run("without a call", func(t *testing.T) {
		p, steps := living(t, event.Client, true)
		of := opened
		of.Owner = incomplete
		p.event(of)
		p.play("half-close", "close")
		assert.Equal(t, []string{"opened 5", "closed client"}, *steps)
		assert.Empty(t, p.tracker.took)
	})
	t.Run("without an end", func(t *testing.T) {
		p, steps := living(t, event.Client, true)
		of := opened
		of.Owner = incomplete
		p.event(of)
		p.now++
		p.listed()
		assert.Equal(t, []string{"opened 5"}, *steps)
		assert.EqualValues(t, 1, p.tracker.Stats().LostConnections)
	})
	t.Run("closed, and kept", func(t *testing.T) {
		p, steps := living(t, event.Client, true)
		p.play("open", "C: PING", "S: +PONG", "peer-close")
		assert.Equal(t, []string{"opened 0", "closed server"}, *steps, "the program has not noticed")
	})
	t.Run("the place of another one", func(t *testing.T) {
		p, steps := living(t, event.Client, true)
		p.play("open", "C: PING")
		p.event(opened)
		assert.Equal(t, []string{"opened 0", "opened 5"}, *steps, "the end of the first was lost")
	})
	t.Run("early data", func(t *testing.T) {
		p, steps := living(t, event.Client, true)
		p.play("opening", "C: PING")
		p.event(opened)
		p.play("S: +PONG", "peer-close", "close")
		assert.Equal(t, []string{"opened 5", "closed server"}, *steps)
	})
	t.Run("unreadable from its beginning", func(t *testing.T) {
		p, steps := living(t, event.Client, true)
		p.event(event.Event{Kind: event.OtherStream, Stream: event.MPTCP})
		p.play("close")
		assert.Empty(t, *steps)
	})
}

// Packets may show a connection twice. The payload tells, so a copy has none.
func TestOpenedByPackets(t *testing.T) {
	opened := event.Event{Kind: event.Open, Took: 5}
	t.Run("with payload", func(t *testing.T) {
		p, steps := living(t, event.Client, false)
		p.event(opened)
		assert.Empty(t, *steps)
		p.play("C: PING", "S: +PONG", "peer-close", "close")
		assert.Equal(t, []string{"opened 5", "closed server"}, *steps)
	})
	t.Run("without payload", func(t *testing.T) {
		p, steps := living(t, event.Client, false)
		p.event(opened)
		p.play("half-close", "peer-close", "close")
		assert.Equal(t, []string{"opened 5", "closed client"}, *steps)
	})
	t.Run("a copy", func(t *testing.T) {
		p, steps := living(t, event.Client, false)
		p.event(opened)
		p.play("close")
		assert.Empty(t, *steps)
		assert.Empty(t, p.tracker.took)
	})
}

// What failed to connect counts like what would have connected, and is no connection.
func TestConnectFailed(t *testing.T) {
	p, steps := living(t, event.Client, true)
	p.event(event.Event{Kind: event.ConnectFailed, Failure: event.TimedOut})
	p.event(event.Event{Kind: event.ConnectFailed, Failure: event.Refused, Owner: &event.Owner{Complete: true}})
	p.play("close")
	assert.Equal(t, []string{"failed 2", "1: failed 1"}, *steps)
	assert.Zero(t, p.tracker.Stats().Tracked)
	assert.True(t, p.tracker.Used(0), "its series stay")
	p.tracker.options.Resolve = func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, false }
	p.event(event.Event{Kind: event.ConnectFailed})
	assert.Len(t, *steps, 2, "a server without a name is not observed")
	assert.Empty(t, p.tracker.ignored)
}
