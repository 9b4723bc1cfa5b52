package correlate_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// A survey counts the chosen connections by the server's address and the end, over as many events as
// it takes, and keeps the greatest places.
func TestSurvey(t *testing.T) {
	const named = 9
	tracker := correlate.New(correlate.Options{
		Resolve: func(_ event.Role, e *event.Endpoints) (identity.ID, bool) {
			if e.RemotePort == 7000 {
				return named, true
			}
			return 0, true
		},
	})
	added := uint64(0)
	connect := func(times int, role event.Role, server uint16, owner *event.Owner) {
		for range times {
			added++
			e := event.Endpoints{LocalPort: uint16(20000 + added), RemotePort: server}
			if role == event.Server {
				e = event.Endpoints{LocalPort: server, RemotePort: uint16(20000 + added)}
			}
			tracker.Track(&event.Event{Kind: event.Open, Conn: added, Time: 1, Role: role, Endpoints: e, Owner: owner})
		}
	}
	connect(900, event.Client, 7000, nil)
	connect(3000, event.Client, 7001, &event.Owner{Executable: "web"})
	connect(2, event.Client, 7001, &event.Owner{Executable: "app"})
	connect(7, event.Server, 7001, nil)
	connect(5, event.Client, 7002, nil)
	connect(3, event.Client, 7003, nil)
	for i := range 2 * correlate.MaxExecutables {
		connect(1, event.Server, 7004, &event.Owner{Executable: fmt.Sprint("p", i)})
	}

	var result *correlate.Survey
	tracker.Survey(3, func(id identity.ID, role event.Role, e *event.Endpoints) bool {
		assert.True(t, e.LocalPort == 7001 || role == event.Client || e.LocalPort == 7004)
		return id != named
	}, func(s correlate.Survey) {
		require.Nil(t, result, "done once")
		result = &s
	})
	assert.Nil(t, result, "no event waits for all of them")
	for range 10 {
		tracker.Track(&event.Event{Kind: event.Tick, Time: 2})
	}
	require.NotNil(t, result)
	type place struct {
		role        event.Role
		port        uint16
		connections int
	}
	var places []place
	for _, p := range result.Places {
		port := p.Endpoints.RemotePort
		if p.Role == event.Server {
			port = p.Endpoints.LocalPort
		}
		places = append(places, place{p.Role, port, p.Connections})
	}
	assert.Equal(t, []place{{event.Client, 7001, 3002}, {event.Server, 7004, 32}, {event.Server, 7001, 7}}, places)
	assert.Equal(t, []string{"app", "web"}, result.Places[0].Executables)
	assert.Len(t, result.Places[1].Executables, correlate.MaxExecutables)
	assert.Equal(t, 2, result.OtherPlaces)
	assert.Equal(t, 8, result.OtherConnections)
}

// Connections may end while they are counted.
func TestSurveyDuringEnds(t *testing.T) {
	tracker := correlate.New(correlate.Options{Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, true }})
	endpoints := func(i uint64) event.Endpoints {
		return event.Endpoints{LocalPort: uint16(i), RemotePort: 7000 + uint16(i%3)}
	}
	for i := uint64(1); i <= 1000; i++ {
		tracker.Track(&event.Event{Kind: event.Open, Conn: i, Time: 1, Endpoints: endpoints(i)})
	}
	connections, done := 0, false
	tracker.Survey(10, func(identity.ID, event.Role, *event.Endpoints) bool { return true }, func(s correlate.Survey) {
		done = true
		for _, p := range s.Places {
			connections += p.Connections
		}
	})
	for i := uint64(1); i <= 1000; i++ {
		tracker.Track(&event.Event{Kind: event.Closed, Conn: i, Time: 2, Endpoints: endpoints(i)})
	}
	assert.True(t, done)
	assert.Positive(t, connections)
	assert.LessOrEqual(t, connections, 1000)
}
