package correlate

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/correlate/reorder"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

type numbered struct{ place int32 }

func TestHeapOrders(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	h := heap[numbered]{place: func(n *numbered) *int32 { return &n.place }}
	keys := map[*numbered]int64{}
	items := make([]numbered, 20)
	for range 3000 {
		item := &items[random.IntN(len(items))]
		if random.IntN(3) == 0 {
			h.remove(item)
			delete(keys, item)
		} else {
			keys[item] = random.Int64N(50)
			h.set(item, keys[item])
		}
		require.Len(t, h.entries, len(keys))
		first, key := h.first()
		if first == nil {
			require.Empty(t, keys)
			continue
		}
		require.Equal(t, keys[first], key)
		for item, want := range keys {
			got, there := h.key(item)
			require.True(t, there && got == want && key <= want)
		}
	}
}

// The pool of a client that once sent a large pipeline on each of its connections keeps nothing that others need.
func TestIdlePoolKeepsNoPlaces(t *testing.T) {
	const limit, pool, deep, fresh = 1 << 18, 263, 600, 20 // an eighth of the default; 600 commands take 1,024
	w := newCrowd(t, Options{MaxOutstandingTotal: limit})
	for conn := range uint64(pool) {
		w.open(conn)
		w.send(conn, event.Request, setGet(deep))
		w.send(conn, event.Reply, strings.Repeat("+OK\r\n$5\r\nvalue\r\n", deep/2))
	}
	require.Equal(t, pool*deep, w.commands)
	for conn := range uint64(fresh) {
		conn += pool
		w.open(conn)
		w.rounds(conn, 100, pingRequest, pong)
		assert.Equal(t, 100, w.counted[conn])
	}
	assert.Zero(t, w.lost())

	// Nor does it when another one needs more than any of them has.
	w.open(1 << 30)
	w.send(1<<30, event.Request, setGet(100_000))
	w.send(1<<30, event.Reply, strings.Repeat("+OK\r\n$5\r\nvalue\r\n", 50_000))
	assert.Equal(t, 100_000, w.counted[1<<30])
	assert.Zero(t, w.lost())
	assert.LessOrEqual(t, w.tracker.slots.used, w.tracker.slots.limit)
}

// What is idle gives its places back by and by.
func TestIdlePlacesAreGivenBack(t *testing.T) {
	w := newCrowd(t, Options{})
	for conn := range uint64(50) {
		w.open(conn)
		w.send(conn, event.Request, setGet(600))
		w.send(conn, event.Reply, strings.Repeat("+OK\r\n$5\r\nvalue\r\n", 300))
	}
	require.Greater(t, w.tracker.slots.used, 50*600)
	w.now += 2 * spareAfter
	for range 100 {
		w.pass(time.Millisecond)
	}
	assert.Zero(t, w.tracker.slots.used)
}

// Two connections that never read take all the places there are; those who come later get what they need, and the losses of the two are reported.
func TestGreatestHolderGives(t *testing.T) {
	const sent = 1500
	for _, test := range []struct {
		name string
		to   [2]byte // the addresses of the hostile ones
		own  byte    // and that of the other one
	}{{"one address", [2]byte{1, 1}, 1}, {"another address", [2]byte{1, 1}, 2}, {"three addresses", [2]byte{1, 2}, 3}} {
		t.Run(test.name, func(t *testing.T) {
			w := newCrowd(t, Options{MaxOutstandingTotal: 1 << 12})
			for conn := range uint64(2) {
				w.to[conn] = test.to[conn]
				w.open(conn)
				w.send(conn, event.Request, setGet(sent))
			}
			w.to[7] = test.own
			w.open(7)
			for range 50 {
				w.send(7, event.Request, setGet(100))
				w.send(7, event.Reply, strings.Repeat("+OK\r\n$5\r\nvalue\r\n", 50))
			}
			assert.Equal(t, 5000, w.counted[7])
			assert.Equal(t, 2*sent, w.outstanding()+w.unpaired[session.Overflow], "the losses of the others are reported in full")
			assert.Equal(t, w.lost(), w.unpaired[session.Overflow])
			assert.LessOrEqual(t, w.tracker.slots.used, w.tracker.slots.limit)
		})
	}
}

// The commands that one connection loses to another count under its own identity.
func TestSurrenderKeepsTheIdentity(t *testing.T) {
	w := newCrowd(t, Options{MaxOutstandingTotal: 1 << 10})
	w.tracker.options.Resolve = func(_ event.Role, e *event.Endpoints) (identity.ID, bool) { return identity.ID(e.LocalPort), true }
	for conn := uint64(1); conn <= 2; conn++ {
		w.open(conn)
		w.send(conn, event.Request, setGet(300))
	}
	w.open(3)
	e := event.Event{Kind: event.Data, Direction: event.Request, Conn: 3, Data: []byte(setGet(400)), Time: w.now}
	e.Endpoints.RemotePort, e.Endpoints.LocalPort = 6379, 3
	lost := map[identity.ID]uint32{}
	for _, x := range w.tracker.Track(&e) {
		assert.Equal(t, session.Overflow, x.Reason)
		lost[x.Identity] += x.Count
	}
	assert.Len(t, lost, 1)
	assert.Equal(t, 700+300, int(lost[1]+lost[2])+w.outstanding(), "%v", lost)
}

// Many connections to one address, none of which has much, take nothing that one needs that goes elsewhere.
func TestGreatestGroupGives(t *testing.T) {
	w := newCrowd(t, Options{MaxOutstandingTotal: 1 << 12})
	for conn := range uint64(1000) {
		w.to[conn] = 1
		w.open(conn)
		w.send(conn, event.Request, setGet(8))
	}
	w.to[5000] = 2
	w.open(5000)
	w.send(5000, event.Request, setGet(1000))
	w.send(5000, event.Reply, strings.Repeat("+OK\r\n$5\r\nvalue\r\n", 500))
	assert.Equal(t, 1000, w.counted[5000])
	assert.Equal(t, 8000, w.outstanding()+w.unpaired[session.Overflow])

	// Within the group everyone has the floor.
	for conn := range uint64(1000) {
		w.send(conn, event.Reply, "+OK\r\n")
	}
	for conn := range uint64(1000) {
		conn += 10_000
		w.to[conn] = 1
		w.open(conn)
		w.rounds(conn, 3, setGet(session.FirstPlaces), strings.Repeat("+OK\r\n$-1\r\n", session.FirstPlaces/2))
		assert.Equal(t, 3*session.FirstPlaces, w.counted[conn])
	}
}

// What one connection may not have is counted one by one, wherever chunks end: none of it is forgotten.
func TestOverflowIsCountedInFull(t *testing.T) {
	for _, limit := range []int{8, 64, 1024} {
		for name, text := range map[string]string{
			"alike":     strings.Repeat(getRequest, 5000),
			"different": setGet(5000),
			"inline":    strings.Repeat("PING\r\n", 5000),
			"mixed":     strings.Repeat(getRequest+"PING\r\n"+pingRequest+pingRequest, 1250),
		} {
			t.Run(name, func(t *testing.T) {
				w := newCrowd(t, Options{MaxOutstanding: limit})
				w.open(1)
				w.send(1, event.Request, text)
				assert.Equal(t, 5000, w.outstanding()+w.unpaired[session.Overflow])
				w.send(1, event.Reply, "$-1\r\n+PONG\r\n") // the report of one reply must not end the counting
				w.send(1, event.Request, text)
				assert.Equal(t, 10000, w.outstanding()+w.unpaired[session.Overflow])
			})
		}
	}
}

// After a reply that answers nothing the request stream can still be read, in the middle of a request too.
func TestRequestsAreCountedAfterALostReply(t *testing.T) {
	w := newCrowd(t, Options{})
	w.open(1)
	text := setGet(1000)
	for i := 0; i < len(text); i += 777 {
		w.send(1, event.Request, text[i:min(len(text), i+777)])
		if i == 7*777 {
			w.lose(1, event.Reply, 10)
			w.send(1, event.Reply, "+OK\r\n")
			w.pass(time.Second)
		}
	}
	assert.Equal(t, 1000, w.lost())
}

// Held chunks are shared out in the same way.
func TestHeldIsShared(t *testing.T) {
	w := newCrowd(t, Options{MaxHeldTotal: 64 << 10})
	for conn := range uint64(100) {
		w.to[conn] = 1
		w.open(conn)
		w.lose(conn, event.Request, 1)
		w.send(conn, event.Request, strings.Repeat("x", 2000))
	}
	require.LessOrEqual(t, w.tracker.held.used, 64<<10)
	for _, conn := range []uint64{1000, 1001} { // to the same address, and to another one
		w.to[conn] = byte(conn - 999)
		w.open(conn)
		for range 100 { // each reply is read before its request
			w.now += 1000
			request := w.now
			w.now += 1000
			s := w.seq[conn]
			w.event(event.Event{Kind: event.Data, Direction: event.Reply, Conn: conn, Seq: s[1], Data: []byte(pong)})
			w.event(event.Event{Kind: event.Data, Direction: event.Request, Conn: conn, Seq: s[0], Data: []byte(pingRequest), Time: request})
			s[0] += uint32(len(pingRequest))
			s[1] += uint32(len(pong))
		}
		assert.Equal(t, 100, w.counted[conn])
	}
	assert.NotZero(t, w.tracker.Stats().HeldOverflow)
	w.pass(time.Second)
	w.pass(time.Second)
	assert.Zero(t, w.tracker.held.used)
	assert.Empty(t, w.tracker.waiting.entries)
}

// A gap takes no bytes, but its entry.
func TestHeldGapsAreBounded(t *testing.T) {
	w := newCrowd(t, Options{MaxHeldTotal: 16 << 10})
	for conn := range uint64(1000) {
		w.open(conn)
		w.event(event.Event{Kind: event.Gap, Conn: conn, Seq: 10, Len: 10, Reason: event.Truncated})
	}
	assert.LessOrEqual(t, w.tracker.held.used, 16<<10)
	assert.LessOrEqual(t, len(w.tracker.waiting.entries), 16<<10/reorder.SegmentCost)
}

// Whatever connections do and in whatever order, the budgets know what they have.
func TestBudgetsAddUp(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	w := newCrowd(t, Options{MaxOutstandingTotal: 512, MaxHeldTotal: 8 << 10, MaxConnections: 30})
	for range 4000 {
		conn := uint64(random.IntN(60))
		w.now += random.Int64N(int64(3 * time.Millisecond))
		switch random.IntN(12) {
		case 0:
			w.to[conn] = byte(random.IntN(4))
			w.open(conn)
		case 1:
			if w.seq[conn] != nil {
				w.close(conn)
				delete(w.seq, conn)
			}
		case 2, 3:
			if w.seq[conn] != nil {
				w.lose(conn, event.Direction(random.IntN(2)), random.IntN(50))
			}
		case 4, 5, 6:
			if w.seq[conn] != nil {
				w.send(conn, event.Reply, strings.Repeat("+OK\r\n", random.IntN(200)))
			}
		default:
			if w.seq[conn] != nil {
				w.send(conn, event.Request, setGet(2*random.IntN(100)))
			}
		}
		s, h := &w.tracker.slots, &w.tracker.held
		require.LessOrEqual(t, s.used, s.limit+30*session.FirstPlaces)
		require.LessOrEqual(t, h.used, h.limit)
		var used, held, byGroup int
		for _, c := range w.tracker.conns {
			rich := c.share.has[places] > session.FirstPlaces
			require.True(t, rich == (c.share.ranks[places] != 0) && rich == (c.share.richRank != 0))
			require.Equal(t, [seats]int32{int32(c.session.Places()), int32(c.buffers[0].Cost() + c.buffers[1].Cost())}, c.share.has)
			used += int(c.share.has[places])
			held += int(c.share.has[heldBytes])
		}
		for _, g := range w.tracker.groups {
			byGroup += g.has[places]
		}
		require.Equal(t, []int{used, held, used}, []int{s.used, h.used, byGroup})
		for _, e := range w.tracker.waiting.entries {
			require.Same(t, e.item, w.tracker.conns[e.item.id], "what is gone is not waited for")
		}
	}
}
