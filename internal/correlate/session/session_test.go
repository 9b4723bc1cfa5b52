package session

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/event"
)

// granted grants places up to a limit, unless that is zero, and counts them.
type granted struct {
	used, limit int
	passed      [2]uint64 // bytes of no command, by event.Direction
	slow        []Slow
}

func (g *granted) GrantPlaces(n int) bool { return g.limit == 0 || g.used+n <= g.limit }
func (g *granted) AddPlaces(n int)        { g.used += n }

func (g *granted) PassWait(int64, uint32) {}

func (g *granted) PassSlow(x *Slow) { g.slow = append(g.slow, *x) }

func (g *granted) Pass(d event.Direction, n uint64) { g.passed[d] += n }

// newSession returns the session of a client's connection, with places for so many commands.
func newSession(places Places, maxOutstanding int) *Session {
	s := new(Session)
	s.Init(&Shared{Commands: command.Builtin(), MaxOutstanding: maxOutstanding, Quiet: int64(50 * time.Millisecond)}, places, event.Client, 0)
	return s
}

// driver calls a session a millisecond after the call before.
type driver struct {
	*Session
	now int64
}

func drive(places Places, maxOutstanding int) *driver {
	return &driver{Session: newSession(places, maxOutstanding)}
}

// wait lets time pass.
func (d *driver) wait(pause time.Duration) {
	d.now += int64(pause)
	d.shared.Now = d.now
}

func (d *driver) arrival() Arrival {
	d.wait(time.Millisecond)
	return Arrival{Time: d.now}
}

// exchange sends a request and replies to it.
func (d *driver) exchange(request, reply string) {
	d.Request([]byte(request), d.arrival())
	d.Reply([]byte(reply), d.arrival())
}

const (
	getRequest = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
	null       = "$-1\r\n"
)

// Once the proof has held nothing is kept of it.
func TestEndOfProbation(t *testing.T) {
	d := drive(new(granted), 8)
	d.Resume(false, d.now)
	d.wait(60 * time.Millisecond)
	d.exchange(getRequest, null)
	d.exchange(getRequest, null)
	assert.Equal(t, replied, d.probation.stage)
	d.wait(60 * time.Millisecond)
	d.exchange(getRequest, null)
	assert.Zero(t, d.probation)
}
