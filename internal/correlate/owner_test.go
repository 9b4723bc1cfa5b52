package correlate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// A connection counts under its owner as far as it is known when a command ends.
func TestOwner(t *testing.T) {
	var labelled []*event.Owner
	tracker := correlate.New(correlate.Options{
		Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, true },
		Label: func(_ identity.ID, _ event.Role, _ *event.Endpoints, owner *event.Owner) identity.ID {
			for i, known := range labelled {
				if known == owner {
					return identity.ID(i)
				}
			}
			labelled = append(labelled, owner)
			return identity.ID(len(labelled) - 1)
		},
	})
	opened, called, later := &event.Owner{Cgroup: "/a"}, &event.Owner{Cgroup: "/a", Executable: "app", Complete: true}, &event.Owner{Cgroup: "/b"}
	send := func(e event.Event) []identity.ID {
		e.Conn = 1
		var ids []identity.ID
		for _, exchange := range tracker.Track(&e) {
			ids = append(ids, exchange.Identity)
		}
		return ids
	}
	ping := []byte("*1\r\n$4\r\nPING\r\n")
	send(event.Event{Kind: event.Open, Time: 1, Owner: opened})
	send(event.Event{Kind: event.Data, Direction: event.Request, Time: 2, Data: ping})
	assert.Equal(t, []identity.ID{0}, send(event.Event{Kind: event.Data, Direction: event.Reply, Time: 3, Data: []byte("+PONG\r\n")}), "before its first call is seen")

	send(event.Event{Kind: event.Data, Direction: event.Request, Seq: uint32(len(ping)), Time: 4, Data: ping})
	send(event.Event{Kind: event.Owned, Time: 5, Owner: called})
	assert.Equal(t, []identity.ID{1}, send(event.Event{Kind: event.Data, Direction: event.Reply, Seq: 7, Time: 6, Data: []byte("+PONG\r\n")}))
	assert.False(t, tracker.Carried(0))
	assert.True(t, tracker.Carried(1))

	send(event.Event{Kind: event.Existing, Time: 7, Seq: uint32(2 * len(ping)), ReplySeq: 14, Owner: later})
	send(event.Event{Kind: event.Tick, Time: 8})
	assert.Equal(t, []*event.Owner{opened, called}, labelled, "a listing knows less")
	assert.Equal(t, []correlate.Pool{{Identity: 0}, {Identity: 1, Available: 1}}, tracker.Pools())

	send(event.Event{Kind: event.Closed, Time: 9, Seq: uint32(2 * len(ping)), ReplySeq: 14})
	assert.False(t, tracker.Carried(1))
}

// Labels that become known late count from then on, also for what is outstanding.
func TestRelabel(t *testing.T) {
	late := identity.ID(0)
	tracker := correlate.New(correlate.Options{
		Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, true },
		Label: func(_ identity.ID, _ event.Role, e *event.Endpoints, _ *event.Owner) identity.ID {
			if e.LocalPort == 2 {
				return 2
			}
			return late
		},
	})
	relabel := func(id identity.ID, _ event.Role, e *event.Endpoints, owner *event.Owner) identity.ID {
		assert.Equal(t, identity.ID(0), id)
		assert.Equal(t, uint16(1), e.LocalPort)
		assert.Equal(t, "/a", owner.Cgroup)
		return late
	}
	waits := func(id identity.ID) bool { return id == 0 }
	owner := &event.Owner{Cgroup: "/a", Complete: true}
	for _, port := range []uint16{1, 2} {
		tracker.Track(&event.Event{Kind: event.Open, Conn: uint64(port), Time: 1, Owner: owner, Endpoints: event.Endpoints{LocalPort: port}})
	}
	send := func(e event.Event) []identity.ID {
		e.Conn, e.Endpoints.LocalPort = 1, 1
		var ids []identity.ID
		for _, exchange := range tracker.Track(&e) {
			ids = append(ids, exchange.Identity)
		}
		return ids
	}
	ping := []byte("*1\r\n$4\r\nPING\r\n")
	send(event.Event{Kind: event.Data, Direction: event.Request, Time: 2, Data: ping})
	assert.Equal(t, []identity.ID{0}, send(event.Event{Kind: event.Data, Direction: event.Reply, Time: 3, Data: []byte("+PONG\r\n")}))
	assert.Empty(t, tracker.Relabel(waits, relabel))
	assert.True(t, tracker.Carried(0), "nothing is known yet")

	send(event.Event{Kind: event.Data, Direction: event.Request, Seq: uint32(len(ping)), Time: 4, Data: ping})
	late = 1
	assert.Empty(t, tracker.Relabel(waits, relabel))
	assert.Equal(t, []identity.ID{1}, send(event.Event{Kind: event.Data, Direction: event.Reply, Seq: 7, Time: 6, Data: []byte("+PONG\r\n")}))
	assert.False(t, tracker.Carried(0))
	assert.True(t, tracker.Carried(1))
	assert.True(t, tracker.Carried(2), "of another identity")
	tracker.Relabel(waits, relabel)
	assert.True(t, tracker.Carried(1))
}

// After a change of addresses that left the names of connections alone, their owners still count.
func TestOwnerAfterRename(t *testing.T) {
	tracker := correlate.New(correlate.Options{
		Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, true },
		Label: func(_ identity.ID, _ event.Role, _ *event.Endpoints, owner *event.Owner) identity.ID {
			return identity.ID(len(owner.Executable))
		},
	})
	tracker.Rename(func(identity.ID) bool { return true })
	tracker.Track(&event.Event{Kind: event.Open, Conn: 1, Time: 1, Owner: &event.Owner{}})
	tracker.Track(&event.Event{Kind: event.Owned, Conn: 1, Time: 2, Owner: &event.Owner{Executable: "app", Complete: true}})
	assert.True(t, tracker.Carried(3))
	assert.False(t, tracker.Carried(0))
}

// ignoring is a tracker that leaves out the owners of one executable and of one cgroup.
type ignoring struct {
	*correlate.Tracker
	cgroup       string
	turned, back int
}

func (g *ignoring) TurnAway(uint64, event.Role, event.Direction, int64, event.Plaintext) { g.turned++ }
func (g *ignoring) Readmit(uint64)                                                       { g.back++ }
func (g *ignoring) ReadmitAll()                                                          {}

func newIgnoring() *ignoring {
	g := &ignoring{cgroup: "/relays"}
	g.Tracker = correlate.New(correlate.Options{
		Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, true },
		Ignored: func(owner *event.Owner) event.Trait {
			switch {
			case owner == nil:
				return event.NoTrait
			case owner.Executable == "relay":
				return event.Process
			case owner.Cgroup == g.cgroup:
				return event.Namespace
			}
			return event.NoTrait
		},
	})
	g.Guard(g)
	return g
}

// ping sends a command and its reply over connection 1, and returns how many commands completed.
func (g *ignoring) ping(n int) int {
	var request, reply = []byte("*1\r\n$4\r\nPING\r\n"), []byte("+PONG\r\n")
	done := len(g.Track(&event.Event{Kind: event.Data, Conn: 1, Direction: event.Request, Time: 10, Seq: uint32(n * len(request)), Data: request}))
	return done + len(g.Track(&event.Event{Kind: event.Data, Conn: 1, Direction: event.Reply, Time: 11, Seq: uint32(n * len(reply)), Data: reply}))
}

// A connection is left out as soon as its owner is known, and stays so when a listing knows less. One
// that begins on the same socket afterwards is not.
func TestIgnoredOwner(t *testing.T) {
	g := newIgnoring()
	opened, called := &event.Owner{Cgroup: "/a"}, &event.Owner{Cgroup: "/a", Executable: "relay", Complete: true}
	g.Track(&event.Event{Kind: event.Open, Conn: 1, Time: 1, Owner: opened})
	assert.EqualValues(t, 1, g.Stats().Tracked)
	g.Track(&event.Event{Kind: event.Owned, Conn: 1, Time: 2, Owner: called})
	assert.Zero(t, g.ping(0))
	assert.Equal(t, 2, g.turned)
	g.Track(&event.Event{Kind: event.Existing, Conn: 1, Time: 12, Owner: opened})
	g.Rename(nil)
	assert.Zero(t, g.ping(1))
	assert.Zero(t, g.Stats().Tracked)
	assert.EqualValues(t, 1, g.Stats().Ignored[event.Process])

	g.back = 0
	g.Track(&event.Event{Kind: event.Open, Conn: 1, Time: 13, Owner: opened})
	assert.Equal(t, 1, g.back)
	g.Track(&event.Event{Kind: event.Owned, Conn: 1, Time: 14, Owner: &event.Owner{Cgroup: "/a", Executable: "app", Complete: true}})
	assert.Equal(t, 1, g.ping(0))
	assert.EqualValues(t, 1, g.Stats().Ignored[event.Process])
}

// What becomes known late leaves connections out from then on.
func TestIgnoredLate(t *testing.T) {
	g := newIgnoring()
	g.Track(&event.Event{Kind: event.Open, Conn: 1, Time: 1, Owner: &event.Owner{Cgroup: "/relays"}})
	assert.Zero(t, g.Stats().Tracked)
	assert.EqualValues(t, 1, g.Stats().Ignored[event.Namespace])
	g.Track(&event.Event{Kind: event.Closed, Conn: 1, Time: 2})

	g.Track(&event.Event{Kind: event.Open, Conn: 1, Time: 3, Owner: &event.Owner{Cgroup: "/b"}})
	assert.Equal(t, 1, g.ping(0))
	g.cgroup = "/b"
	g.Reconsider()
	assert.Zero(t, g.ping(1))
	assert.EqualValues(t, 2, g.Stats().Ignored[event.Namespace])
}

// A connection to an address that an unprivileged user may have chosen counts as that, also if only a listing
// tells it, and its owner does not change that.
func TestUnnamed(t *testing.T) {
	tracker := correlate.New(correlate.Options{
		Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return 1, true },
		Unnamed: func(_ event.Role, e *event.Endpoints) (identity.ID, bool) { return 0, e.LocalPort == 0 },
	})
	track := func(conn uint64, e event.Event) {
		e.Conn = conn
		tracker.Track(&e)
	}
	owner := &event.Owner{Executable: "app", Complete: true}
	track(1, event.Event{Kind: event.Open, Time: 1, UserNamespace: true})
	track(1, event.Event{Kind: event.Owned, Time: 2, Owner: owner})
	assert.True(t, tracker.Carried(0))
	track(2, event.Event{Kind: event.Data, Time: 3, Data: []byte("*1\r\n$4\r\nPING\r\n")})
	assert.True(t, tracker.Carried(1), "its beginning was lost")
	track(2, event.Event{Kind: event.Existing, Time: 4, Unplaced: true, UserNamespace: true})
	assert.False(t, tracker.Carried(1))
	tracker.Rename(nil)
	assert.False(t, tracker.Carried(1))

	elsewhere := event.Endpoints{LocalPort: 1}
	track(3, event.Event{Kind: event.Open, Time: 5, UserNamespace: true, Endpoints: elsewhere})
	track(3, event.Event{Kind: event.Owned, Time: 6, Owner: owner, Endpoints: elsewhere})
	assert.False(t, tracker.Carried(1))
	assert.EqualValues(t, 2, tracker.Stats().Tracked)
}
