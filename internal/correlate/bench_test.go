package correlate

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// exchanger replays one request and its reply, or a pipeline of them, on a tracker.
type exchanger struct {
	tracker *Tracker
	events  [2]event.Event
}

func newExchanger(tb testing.TB, pipeline int, request, reply string) *exchanger {
	x := &exchanger{tracker: newPlayer(tb).tracker}
	x.tracker.Track(&event.Event{Kind: event.Open, Conn: 1})
	for d, text := range []string{request, reply} {
		e := &x.events[d]
		*e = event.Event{Kind: event.Data, Direction: event.Direction(d), Conn: 1}
		for range pipeline {
			e.Data = append(e.Data, text...)
		}
	}
	return x
}

// run plays one round and returns the number of commands.
func (x *exchanger) run() (n int) {
	for d := range x.events {
		e := &x.events[d]
		e.Time += int64(50 * time.Microsecond)
		for _, exchange := range x.tracker.Track(e) {
			n += int(exchange.Count)
		}
		e.Seq += uint32(len(e.Data))
	}
	return n
}

const (
	getRequest = "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n"
	getReply   = "$3\r\nxxx\r\n"
)

func TestTrackAllocatesNothing(t *testing.T) {
	for _, test := range []struct {
		name, request, reply string
		pipeline, exchanges  int
	}{
		{"get", getRequest, getReply, 1, 1},
		{"pipeline", getRequest, getReply, 16, 16},
		{"long pipeline", getRequest, getReply, 500, 500},
		{"error", getRequest, "-WRONGTYPE no\r\n", 1, 1},
		{"inline", "PING\r\n", "+PONG\r\n", 1, 1},
		{"transaction", "*1\r\n$5\r\nMULTI\r\n" + getRequest + "*1\r\n$4\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nx\r\n", 1, 3},
		{"subscription", "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n", 1, 1},
		{"push", getRequest, ">2\r\n$10\r\ninvalidate\r\n_\r\n$-1\r\n", 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newExchanger(t, test.pipeline, test.request, test.reply)
			assert.Equal(t, test.exchanges, x.run())
			assert.Zero(t, testing.AllocsPerRun(100, func() { x.run() }))
		})
	}
}

func TestConnectionIsSmall(t *testing.T) {
	const place = 24 // bytes, as a test of package session asserts
	assert.LessOrEqual(t, unsafe.Sizeof(conn{})+session.FirstPlaces*place, uintptr(1536))
}

func BenchmarkTrack(b *testing.B) {
	for _, bench := range []struct {
		name     string
		pipeline int
		slowFrom time.Duration
	}{{"P1", 1, 0}, {"P16", 16, 0}, {"P100", 100, 0}, {"P1 slow commands kept", 1, time.Second}} {
		b.Run(bench.name, func(b *testing.B) {
			x := newExchanger(b, bench.pipeline, getRequest, getReply)
			x.tracker.shared.SlowFrom = int64(bench.slowFrom)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n += x.run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*n), "ns/message")
		})
	}
}
