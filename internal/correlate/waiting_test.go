package correlate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// waiters is how many connections of a crowd get unsolicited replies, each of which waits for its request.
const waiters = 2000

// answerUnasked passes n replies without requests, 50,000 a second in all, on one connection after the other.
func (w *crowd) answerUnasked(n int) {
	for i := range n {
		w.now += int64(20 * time.Microsecond)
		w.send(uint64(i%waiters), event.Reply, pong)
	}
}

func newWaitingCrowd(tb testing.TB) *crowd {
	tb.Helper()
	w := newCrowd(tb, Options{})
	for conn := range uint64(waiters) {
		w.open(conn)
		w.rounds(conn, 1, pingRequest, pong)
	}
	return w
}

// A connection whose reply is read before its request is exact, however many others wait for theirs.
func TestNeighbourOfManyThatWait(t *testing.T) {
	w := newWaitingCrowd(t)
	w.open(5000)
	for range 500 {
		w.answerUnasked(100)
		request := w.now
		s := w.seq[5000]
		w.event(event.Event{Kind: event.Data, Direction: event.Reply, Conn: 5000, Seq: s[1], Data: []byte(pong), Time: w.now + 1000})
		w.event(event.Event{Kind: event.Data, Direction: event.Request, Conn: 5000, Seq: s[0], Data: []byte(pingRequest), Time: request})
		s[0], s[1] = s[0]+uint32(len(pingRequest)), s[1]+uint32(len(pong))
		assert.LessOrEqual(t, len(w.tracker.waiting.entries), waiters+1)
	}
	assert.Equal(t, 500, w.counted[5000])
}

// However many wait until the same moment, one event lets go of few of them.
func TestFewGiveUpAtOnce(t *testing.T) {
	w := newCrowd(t, Options{})
	for conn := range uint64(1000) {
		w.open(conn)
		w.rounds(conn, 1, pingRequest, pong)
	}
	for conn := range uint64(1000) {
		w.send(conn, event.Reply, pong)
	}
	w.pass(time.Second)
	assert.Len(t, w.tracker.waiting.entries, 1000-expirations)
	for range 1000/expirations + 1 {
		w.pass(time.Millisecond)
	}
	assert.Empty(t, w.tracker.waiting.entries)
	assert.Equal(t, 1000, w.unpaired[session.Unsolicited])
}

func BenchmarkWaiting(b *testing.B) {
	w := newWaitingCrowd(b)
	w.answerUnasked(10 * waiters)
	b.ResetTimer()
	w.answerUnasked(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
