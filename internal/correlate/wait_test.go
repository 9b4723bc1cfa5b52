package correlate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

const ms = int64(time.Millisecond)

// newWaitPlayer returns a player of a role whose tracker passes waits on, and what it has passed on.
func newWaitPlayer(tb testing.TB, role event.Role) (*player, *[]string) {
	p, passed := newPlayer(tb), new([]string)
	p.role = role
	p.tracker = New(Options{
		Sockets: true,
		Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return 3, true },
		Wait: func(w Wait) {
			assert.Equal(tb, role, w.Role)
			assert.EqualValues(tb, 3, w.Identity)
			text := fmt.Sprintf("%d unknown %d", w.Count, w.Unknown)
			if w.Unknown == KnownWait {
				text = fmt.Sprintf("%d of %dms", w.Count, w.Time/ms)
			}
			*passed = append(*passed, text)
		},
	})
	checkStates(tb, p.tracker)
	p.play("open")
	return p, passed
}

// arrive plays bytes of a direction that are read now, of which those from each offset on became
// readable some milliseconds ago.
func (p *player) arrive(d event.Direction, text string, ago ...[2]int64) {
	p.now += ms
	e := event.Event{Kind: event.Data, Direction: d, Seq: p.seq[d], Data: []byte(strings.ReplaceAll(text, `\r\n`, "\r\n"))}
	end := e.Seq + uint32(len(e.Data))
	if len(ago) > 0 {
		e.Arrivals = new(event.Arrivals)
	}
	for _, a := range ago {
		*e.Arrivals = append(*e.Arrivals, event.Arrival{From: e.Seq + uint32(a[0]), End: end, Time: p.now - a[1]*ms})
	}
	p.seq[d] = end
	p.event(e)
}

func TestWaitOfReplies(t *testing.T) {
	const nilReply = `$-1\r\n` // 5 bytes
	for _, test := range []struct {
		name     string
		requests string
		play     func(p *player)
		want     []string
	}{
		{"one arrival", get, func(p *player) { p.arrive(event.Reply, nilReply, [2]int64{0, 5}) }, []string{"1 of 5ms"}},
		{"a run by one arrival", strings.Repeat(get, 3), func(p *player) { p.arrive(event.Reply, nilReply+nilReply+nilReply, [2]int64{0, 5}) }, []string{"1 of 5ms", "2 of 5ms"}},
		{"a run by three arrivals", get + get + get, func(p *player) {
			p.arrive(event.Reply, nilReply+nilReply+nilReply, [2]int64{0, 5}, [2]int64{5, 3}, [2]int64{10, 1})
		}, []string{"1 of 5ms", "1 of 3ms", "1 of 1ms"}},
		{"by its last byte", get, func(p *player) { p.arrive(event.Reply, nilReply, [2]int64{0, 5}, [2]int64{4, 2}) }, []string{"1 of 2ms"}},
		{"in two reads", get, func(p *player) {
			p.arrive(event.Reply, `$-1`, [2]int64{0, 5})
			p.arrive(event.Reply, `\r\n`, [2]int64{0, 4})
		}, []string{"1 of 4ms"}},
		{"the first is not known", get + get, func(p *player) { p.arrive(event.Reply, nilReply+nilReply, [2]int64{5, 3}) }, []string{"1 unknown 1", "1 of 3ms"}},
		{"nothing is known", get, func(p *player) { p.arrive(event.Reply, nilReply) }, []string{"1 unknown 1"}},
		{"longer than the duration", get, func(p *player) { p.arrive(event.Reply, nilReply, [2]int64{0, 100}) }, []string{"1 unknown 1"}},
		{"errors", get, func(p *player) { p.arrive(event.Reply, `-ERR x\r\n`, [2]int64{0, 5}) }, []string{"1 of 5ms"}},
		{"transaction", `*1\r\n$5\r\nMULTI\r\n` + get + `*1\r\n$4\r\nEXEC\r\n`, func(p *player) {
			p.arrive(event.Reply, `+OK\r\n+QUEUED\r\n*1\r\n$1\r\nx\r\n`, [2]int64{0, 5}, [2]int64{18, 2})
		}, []string{"1 of 5ms", "1 of 2ms", "1 of 2ms"}},
		{"none", get, func(p *player) { p.play("close") }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, passed := newWaitPlayer(t, event.Client)
			p.play("c: " + test.requests)
			p.now += 20 * ms
			test.play(p)
			assert.Equal(t, test.want, *passed)
		})
	}
}

func TestWaitOfRequests(t *testing.T) {
	size := int64(len(strings.ReplaceAll(get, `\r\n`, "\r\n")))
	for _, test := range []struct {
		name string
		play func(p *player)
		want []string
	}{
		{"one arrival", func(p *player) { p.arrive(event.Request, get, [2]int64{0, 5}) }, []string{"1 of 5ms"}},
		{"a run by one arrival", func(p *player) { p.arrive(event.Request, get+get+get, [2]int64{0, 5}) }, []string{"1 of 5ms", "2 of 5ms"}},
		{"each by its own", func(p *player) {
			p.arrive(event.Request, get+get+get, [2]int64{0, 5}, [2]int64{size, 4}, [2]int64{2*size + 7, 1})
		}, []string{"1 of 5ms", "1 of 4ms", "1 of 1ms"}},
		{"before the observer knew", func(p *player) { p.arrive(event.Request, get) }, []string{"1 unknown 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, passed := newWaitPlayer(t, event.Server)
			test.play(p)
			p.play("S: $-1")
			assert.Equal(t, test.want, *passed)
		})
	}
}

// Bytes that have to wait for others keep when they became readable.
func TestWaitOfHeldReplies(t *testing.T) {
	p, passed := newWaitPlayer(t, event.Client)
	p.now += 20 * ms
	sent := p.now
	p.arrive(event.Reply, `$-1\r\n`, [2]int64{0, 5}) // is read before the event of its request
	assert.Empty(t, *passed)
	data := []byte(strings.ReplaceAll(get, `\r\n`, "\r\n"))
	p.event(event.Event{Kind: event.Data, Direction: event.Request, Seq: p.seq[event.Request], Data: data, Time: sent - 10*ms})
	assert.Equal(t, []string{"1 of 5ms"}, *passed)
}

// Plaintext and Unix sockets are left out, and say so.
func TestWaitOfOtherStreams(t *testing.T) {
	p, passed := newWaitPlayer(t, event.Client)
	p.path = true
	p.conn++
	p.play("open", "c: "+get, "S: $-1")
	assert.Equal(t, []string{fmt.Sprintf("1 unknown %d", WaitsOfUnix)}, *passed)

	p, passed = newWaitPlayer(t, event.Server)
	p.conn++
	p.play("open")
	p.event(event.Event{Kind: event.Data, Direction: event.Request, Data: []byte(strings.ReplaceAll(get, `\r\n`, "\r\n")), Plaintext: event.WholePlaintext})
	assert.Equal(t, []string{fmt.Sprintf("1 unknown %d", WaitsOfTLS)}, *passed)
}
