package correlate

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// crowd feeds a tracker with the events of many connections, and adds up what became of their commands.
type crowd struct {
	tracker *Tracker
	now     int64
	seq     map[uint64]*[2]uint32
	to      map[uint64]byte // the last byte of the server's address

	counted  map[uint64]int // commands, by the connection of the event that ended them
	commands int
	unpaired map[session.Reason]int
	largest  int // result of one event
}

func newCrowd(tb testing.TB, options Options) *crowd {
	tb.Helper()
	options.Resolve = func(_ event.Role, e *event.Endpoints) (identity.ID, bool) { return 0, e.Remote[0] != 0xff }
	w := &crowd{
		tracker: New(options), now: int64(time.Second),
		seq: map[uint64]*[2]uint32{}, to: map[uint64]byte{}, counted: map[uint64]int{}, unpaired: map[session.Reason]int{},
	}
	checkStates(tb, w.tracker)
	return w
}

func (w *crowd) event(e event.Event) {
	if e.Time == 0 {
		e.Time = w.now
	}
	e.Endpoints.RemotePort, e.Endpoints.LocalPort = 6379, uint16(e.Conn)
	e.Endpoints.Remote[15] = w.to[e.Conn]
	binary.BigEndian.PutUint32(e.Endpoints.Local[:], uint32(e.Conn>>16))
	out := w.tracker.Track(&e)
	w.largest = max(w.largest, len(out))
	w.take(e.Conn, out)
}

func (w *crowd) take(conn uint64, out []session.Exchange) {
	for i := range out {
		if x := &out[i]; x.Outcome == session.Unpaired {
			w.unpaired[x.Reason] += int(x.Count)
		} else {
			w.counted[conn] += int(x.Count)
			w.commands += int(x.Count)
		}
	}
}

func (w *crowd) open(conn uint64) {
	w.seq[conn] = &[2]uint32{}
	w.event(event.Event{Kind: event.Open, Conn: conn})
}

func (w *crowd) close(conn uint64) {
	s := w.seq[conn]
	w.event(event.Event{Kind: event.Closed, Conn: conn, Seq: s[0], ReplySeq: s[1]})
}

// send passes bytes in chunks as a program's socket calls make them.
func (w *crowd) send(conn uint64, d event.Direction, text string) {
	const chunk = 8 << 10
	for len(text) > 0 {
		part := text[:min(chunk, len(text))]
		text = text[len(part):]
		s := &w.seq[conn][d]
		w.event(event.Event{Kind: event.Data, Direction: d, Conn: conn, Seq: *s, Data: []byte(part)})
		*s += uint32(len(part))
	}
}

// lose lets bytes pass that are not captured.
func (w *crowd) lose(conn uint64, d event.Direction, n int) { w.seq[conn][d] += uint32(n) }

func (w *crowd) pass(d time.Duration) {
	w.now += int64(d)
	w.event(event.Event{Kind: event.Tick})
}

// rounds are well-behaved: each request is answered before the next one.
func (w *crowd) rounds(conn uint64, n int, request, reply string) {
	for range n {
		w.now += 1000
		w.send(conn, event.Request, request)
		w.now += 1000
		w.send(conn, event.Reply, reply)
	}
}

const (
	pingRequest = "*1\r\n$4\r\nPING\r\n"
	pong        = "+PONG\r\n"
)

// setGet are n commands that are never alike to their neighbour, so that each takes a place of its own.
func setGet(n int) string {
	return strings.Repeat(string(bytes.Join([][]byte{request("SET", "key", "value"), request("GET", "key")}, nil)), n/2)
}

func (w *crowd) outstanding() int { return w.tracker.Outstanding() }

// lost returns how many commands were reported as lost.
func (w *crowd) lost() int {
	n := 0
	for _, count := range w.unpaired {
		n += count
	}
	return n
}
