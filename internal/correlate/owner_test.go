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
