package correlate

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/event"
)

// dice makes decisions from the fuzzer's bytes.
type dice []byte

func (d *dice) roll(sides int) int {
	if len(*d) == 0 {
		return 0
	}
	n := int((*d)[0]) % sides
	*d = (*d)[1:]
	return n
}

// traffic is what passes on a connection: requests, what the server answers, and when.
type traffic struct {
	dice  dice
	model model
	lossy bool
	turns []turn
}

// turn is one request with its reply, and the pause after it.
type turn struct {
	request, reply string
	pause          bool
}

func (s *traffic) op() op {
	choice := s.dice.roll(26)
	if s.lossy && choice > 17 && choice < 24 {
		choice -= 6
	}
	if s.model.inSubscribedMode() && !s.model.multi {
		// A RESP2 connection may do little else now.
		switch s.dice.roll(4) {
		case 0, 2:
			return op{name: "unsubscribe", args: []string{"UNSUBSCRIBE"}}
		case 3:
			return op{name: "client|reply", args: []string{"CLIENT", "REPLY", "OFF"}, reply: "-ERR Can't execute\r\n", want: "error ERR"}
		}
		return op{name: "ping", args: []string{"PING"}, reply: "*2\r\n$4\r\npong\r\n$0\r\n\r\n", want: "success"}
	}
	switch choice {
	case 12, 13:
		return op{name: "multi", args: []string{"MULTI"}}
	case 14, 15:
		return op{name: "exec", args: []string{"EXEC"}}
	case 16:
		return op{name: "discard", args: []string{"DISCARD"}}
	case 17:
		return op{name: "ping", args: []string{"PING"}, reply: "+PONG\r\n", want: "success"}
	case 18:
		return op{name: "subscribe", args: []string{"SUBSCRIBE", "a", "b", "a"}}
	case 19:
		return op{name: "unsubscribe", args: []string{"UNSUBSCRIBE"}}
	case 20, 21, 22, 23:
		return s.replyMode(choice - 20)
	case 24, 25:
		return plain[choice-12]
	}
	return plain[choice]
}

func (s *traffic) replyMode(which int) op {
	if s.model.multi || len(s.model.subscribed) > 0 {
		return plain[which]
	}
	mode := [...]string{"ON", "OFF", "SKIP", "ON"}[which]
	if s.model.refuses {
		return op{name: "client|reply", args: []string{"CLIENT", "REPLY", mode}, reply: "-ERR unknown command 'CLIENT', with args beginning with: 'REPLY'\r\n", want: "error ERR"}
	}
	return op{name: "client|reply", args: []string{"CLIENT", "REPLY", mode}, reply: "+OK\r\n", want: "success"}
}

func (s *traffic) generate() {
	if !s.lossy && s.dice.roll(2) == 1 {
		hello := op{"hello", []string{"HELLO", "3"}, "%1\r\n+proto\r\n:3\r\n", "success"}
		s.turns = append(s.turns, turn{request: string(request(hello.args...)), reply: s.model.run(hello)})
		s.model.resp3 = true
	}
	s.model.refuses = s.dice.roll(4) == 3
	for len(s.dice) > 0 && len(s.turns) < 200 {
		o := s.op()
		if (s.model.off || s.model.skip) && strings.HasSuffix(o.name, "subscribe") {
			o = plain[0] // whether its acknowledgements come depends on the server's version
		}
		t := turn{request: string(request(o.args...)), reply: s.model.run(o)}
		if s.dice.roll(8) == 0 && !s.model.off {
			t.reply += s.model.pushed()
		}
		t.pause = s.dice.roll(6) == 0
		s.turns = append(s.turns, t)
	}
}

// events lays the session out in chunks: pipelined, cut anywhere, each reply after its request has left, but for a chance that
// the capture swaps two events. After a pause nothing is outstanding.
func (s *traffic) events(d *dice) []event.Event {
	seq := [2]uint32{firstRequestSeq, firstReplySeq}
	now := int64(time.Second)
	events := []event.Event{{Kind: event.Open, Time: now, Seq: seq[event.Request], ReplySeq: seq[event.Reply]}}
	var replies string
	put := func(direction event.Direction, data string) {
		for len(data) > 0 {
			n := len(data)
			if d.roll(3) == 1 { // not when the dice are used up: an event for each byte would take all the time
				n = 1 + d.roll(n)
			}
			n = min(n, len(data))
			now += int64(10 * time.Microsecond)
			events = append(events, event.Event{Kind: event.Data, Direction: direction, Time: now, Seq: seq[direction], Data: []byte(data[:n])})
			seq[direction] += uint32(n)
			data = data[n:]
		}
	}
	for _, t := range s.turns {
		put(event.Request, t.request)
		replies += t.reply
		if t.pause || d.roll(2) == 0 {
			put(event.Reply, replies)
			replies = ""
		}
		if t.pause {
			s.disturb(events, d)
			now += int64(200 * time.Millisecond)
			events = append(events, event.Event{Kind: event.Tick, Time: now})
		}
	}
	put(event.Reply, replies)
	return events
}

// disturb swaps two neighbours since the last pause.
func (s *traffic) disturb(events []event.Event, d *dice) {
	for i := len(events) - 1; i > 1 && events[i].Kind == event.Data && events[i-1].Kind == event.Data; i-- {
		if d.roll(4) == 0 {
			events[i], events[i-1] = events[i-1], events[i]
			i--
		}
	}
}

func FuzzTracker(f *testing.F) {
	f.Add([]byte("\x00 a session of some commands"), []byte("cut and swapped"), uint8(0))
	f.Add([]byte{12, 1, 1, 0, 1, 1, 2, 1, 1, 14, 1, 0}, []byte{0, 1, 2, 0, 3, 4}, uint8(0))
	f.Add([]byte{18, 1, 1, 0, 0, 1, 1, 1, 21, 1, 1, 3, 1, 1, 20, 1, 1}, []byte{1, 0, 0, 1}, uint8(0))
	f.Add([]byte{1, 1, 0, 2, 1, 0, 3, 1, 0, 4, 1, 0, 5, 1, 0, 6, 1, 0}, []byte{1, 0, 0, 1}, uint8(3))
	f.Add([]byte("\x00\x00\x16\x01\x01\x16\x01\x01\x10\x01\x01\x16\x01\x01\x05\x01\x01\x10\x01\x01\x18\x01\x01\x06\x01\x00"), []byte{0, 0, 0, 0, 0, 0}, uint8(0))
	f.Add([]byte{0, 3, 21, 1, 1, 2, 1, 1, 22, 1, 1, 2, 1, 0, 23, 1, 1, 2, 1, 1}, []byte{0, 1, 2, 0, 3, 4}, uint8(0))
	f.Add([]byte{0, 0, 22, 1, 1, 0, 1, 1, 2, 1, 0, 22, 1, 1, 22, 1, 1, 2, 1, 1, 9, 1, 1}, []byte{1, 4, 0, 0, 0}, uint8(0))
	f.Add([]byte{24, 1, 1, 2, 1, 1, 25, 1, 1, 2, 1, 1, 24, 1, 0}, []byte{1, 3, 1, 7, 0, 1}, uint8(0))
	f.Fuzz(func(t *testing.T, script, cuts []byte, loss uint8) {
		s := traffic{dice: script, lossy: loss > 0}
		s.generate()
		d := dice(cuts)
		events := s.events(&d)
		p := newPlayer(t)
		for i, e := range events {
			if loss > 0 && e.Kind == event.Data && i%(int(loss)+1) == int(loss) {
				continue
			}
			p.event(e)
		}
		p.take(p.tracker.Flush())
		if loss == 0 {
			assert.Equal(t, s.model.want, p.got)
		} else {
			assertSubsequence(t, s.model.want, p.got)
		}
		p.line("close")
		assert.Zero(t, p.tracker.slots.used, "slots are given back")
		assert.Zero(t, p.tracker.held.used, "held bytes are given back")
		assert.Zero(t, p.pool(), "nothing stays in the pool")
	})
}

// assertSubsequence asserts that what was counted after losses is true, if not all: nothing invented, nothing with another's outcome.
func assertSubsequence(t *testing.T, want, got []string) {
	t.Helper()
	at := 0
	for _, x := range got {
		if strings.HasPrefix(x, "unpaired") {
			continue
		}
		for at < len(want) && want[at] != x {
			at++
		}
		if !assert.Less(t, at, len(want), "%s is not what happened\nwant %q\ngot %q", x, want, got) {
			return
		}
		at++
	}
}

// FuzzBytes feeds a tracker with anything at all: it neither panics nor keeps memory.
func FuzzBytes(f *testing.F) {
	f.Add([]byte("\x01*1\r\n$4\r\nPING\r\n\x02+PONG\r\n"))
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newPlayer(t)
		d := dice(script)
		for len(d) > 0 {
			e := event.Event{Kind: event.Kind(d.roll(11)), Direction: event.Direction(d.roll(2)), Len: uint32(d.roll(256))}
			p.now += int64(d.roll(128)) * int64(time.Millisecond)
			e.Seq = p.seq[e.Direction] + uint32(d.roll(8)/6)
			e.ReplySeq = p.seq[event.Reply]
			if e.Kind == event.Data {
				n := min(d.roll(64), len(d))
				e.Data, d = d[:n], d[n:]
				p.seq[e.Direction] = e.Seq + uint32(n)
			}
			p.event(e)
		}
		p.tracker.Flush()
		p.line("close")
		assert.Zero(t, p.tracker.slots.used)
		assert.Zero(t, p.tracker.held.used)
	})
}
