package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/internal/naming"
)

// noHosts resolves nothing.
type noHosts struct{}

func (noHosts) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("no such host")
}

// lifetimes feeds connections to the stages, as the loop does.
type lifetimes struct {
	*stages
	tb  testing.TB
	now int64
	seq map[uint64][2]uint32 // by connection and direction
}

func newLifetimes(tb testing.TB, native bool, name string) *lifetimes {
	tb.Helper()
	c := config.Default()
	c.Metrics.NativeHistograms = native
	s, err := program{resolver: noHosts{}}.newStages(tb.Context(), c, 0, slog.New(slog.DiscardHandler))
	require.NoError(tb, err)
	s.follow(false, metrics.Sources{})
	l := &lifetimes{stages: s, tb: tb, seq: map[uint64][2]uint32{}}
	l.apply(everything(name))
	return l
}

// everything returns rules with one name for port 6379 at any address, and further names without
// connections.
func everything(name string, further ...string) *naming.Rules {
	rules := &naming.Rules{DefaultName: "default", Endpoints: []naming.Endpoint{{Name: name, Addresses: []address.Address{{Ports: address.Port(6379)}}}}}
	for _, name := range further {
		one := netip.MustParsePrefix("192.0.2.1/32")
		rules.Endpoints = append(rules.Endpoints, naming.Endpoint{Name: name, Addresses: []address.Address{{Prefix: one, Ports: address.Port(6379)}}})
	}
	return rules
}

func (l *lifetimes) event(conn uint64, kind event.Kind, direction event.Direction, data string) {
	l.now += 1000
	e := event.Event{
		Kind: kind, Conn: conn, Direction: direction, Time: l.now, Data: []byte(data),
		Endpoints: event.Endpoints{
			Local: netip.MustParseAddr("10.0.0.1").As16(), LocalPort: uint16(40000 + conn),
			Remote: netip.MustParseAddr("10.0.0.2").As16(), RemotePort: 6379,
		},
	}
	at := l.seq[conn]
	if kind == event.Data {
		e.Seq = at[direction]
		at[direction] += uint32(len(data))
		l.seq[conn] = at
	}
	l.record(l.tracker.Track(&e))
}

func (l *lifetimes) open(conn uint64) { l.event(conn, event.Open, event.Request, "") }
func (l *lifetimes) ask(conn uint64) {
	l.event(conn, event.Data, event.Request, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
}
func (l *lifetimes) answer(conn uint64) { l.event(conn, event.Data, event.Reply, "$1\r\nx\r\n") }
func (l *lifetimes) close(conn uint64)  { l.event(conn, event.Closed, event.Request, "") }

// apply replaces the rules.
func (l *lifetimes) apply(rules *naming.Rules) {
	l.names.Apply(l.tb.Context(), rules)
}

// resolved returns the current identity of connections.
func (l *lifetimes) resolved() identity.ID {
	e := event.Endpoints{Remote: netip.MustParseAddr("10.0.0.2").As16(), RemotePort: 6379}
	id, found := l.names.Resolve(event.Client, &e)
	require.True(l.tb, found)
	return id
}

// series returns the commands and the number of series by name.
func (l *lifetimes) series() (counted, series map[string]int) {
	l.event(0, event.Tick, event.Request, "")
	families, err := l.recorder.Gather()
	require.NoError(l.tb, err)
	counted, series = map[string]int{}, map[string]int{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() != "name" {
					continue
				}
				series[label.GetValue()]++
				if family.GetName() == "redis_commands_total" {
					counted[label.GetValue()] += int(metric.GetCounter().GetValue())
				}
			}
		}
	}
	return counted, series
}

// A slot is reused only after the tracker and the recorder have dropped its old identity. From then
// on everything counts under the new name.
func TestReleasedSlotCountsForItsNewName(t *testing.T) {
	for _, native := range []bool{false, true} {
		t.Run(fmt.Sprintf("native=%t", native), func(t *testing.T) {
			l := newLifetimes(t, native, "old")
			old := l.resolved()
			l.open(1)
			l.ask(1)
			l.answer(1)
			l.ask(1)
			_, series := l.series()
			perName := series["old"]
			require.Positive(t, perName)

			l.apply(everything("next"))
			require.Equal(t, []identity.ID{old}, l.names.Retired())
			l.release(old)
			_, found := l.names.Registry().Values(old)
			assert.True(t, found, "a connection has it")
			counted, _ := l.series()
			assert.Equal(t, map[string]int{"old": 1}, counted)

			l.record(l.tracker.Rename(nil))
			l.answer(1)
			held := l.tracker.Pools() // of a scrape in progress
			l.release(old)
			counted, series = l.series()
			assert.Equal(t, map[string]int{"next": 1}, counted)
			const lives = 4 // redis_connections_opened_total and _closed_total: the connection opened under its old name
			assert.Equal(t, map[string]int{"next": perName - lives}, series, "every series of the old name has ended")

			next := l.resolved()
			l.apply(everything("last"))
			l.record(l.tracker.Rename(nil))
			last := l.resolved()
			assert.Equal(t, old.Slot(), last.Slot())
			l.ask(1)
			l.answer(1)
			l.close(1)
			l.open(2)
			l.ask(2)
			l.answer(2)
			counted, series = l.series()
			assert.Equal(t, map[string]int{"next": 1, "last": 2}, counted)
			assert.Equal(t, perName, series["last"])

			for _, pool := range held {
				if pool.Identity.Slot() == last.Slot() {
					_, found := l.names.Registry().Values(pool.Identity)
					assert.False(t, found, "the slot's old identity does not stand for its new name")
				}
			}
			assert.False(t, l.tracker.Used(old))
			assert.True(t, l.tracker.Used(next))
		})
	}
}

// reloadingSource replaces the rules before each event.
type reloadingSource struct {
	l      *lifetimes
	rounds int
}

func (r *reloadingSource) Read(e *event.Event) error {
	if r.rounds--; r.rounds < 0 {
		return io.EOF
	}
	r.l.apply(everything("kept", fmt.Sprint("unused-", r.rounds), fmt.Sprint("unused too-", r.rounds)))
	*e = event.Event{Kind: event.Tick, Time: r.l.now}
	return nil
}
func (*reloadingSource) Stats() event.Stats { return event.Stats{} }
func (*reloadingSource) Close() error       { return nil }

// Reloads with ever new names do not use ever more slots. A name that had connections keeps its
// series.
func TestReloadsReleaseWhatWasNeverUsed(t *testing.T) {
	l := newLifetimes(t, false, "used")
	l.open(1)
	l.ask(1)
	l.answer(1)
	l.close(1)
	_, before := l.series()

	require.NoError(t, l.observe(&reloadingSource{l, 100}, new(heartbeat)))
	counted, after := l.series()
	assert.Equal(t, map[string]int{"used": 1}, counted)
	assert.Equal(t, before["used"], after["used"])
	var names []string
	for _, id := range l.names.Registry().IDs() {
		values, _ := l.names.Registry().Values(id)
		names = append(names, values[0])
		assert.Less(t, id.Slot(), 8)
	}
	assert.ElementsMatch(t, []string{"default", "used", "kept", "unused-0", "unused too-0"}, names, strings.Join(names, ", "))
}
