package correlate

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
)

// lastWords are what a connection may have outstanding at its end. None of them makes another one disappear without a word, as DISCARD does.
var lastWords = append([]op{
	{"blpop", []string{"BLPOP", "l", "0"}, "*-1\r\n", "success"},
	{"xread", []string{"XREAD", "BLOCK", "0", "STREAMS", "s", "$"}, "*-1\r\n", "success"},
	{"multi", []string{"MULTI"}, "", ""},
	{"exec", []string{"EXEC"}, "", ""},
	{"quit", []string{"QUIT"}, "+OK\r\n", "success"},
	{"shutdown", []string{"SHUTDOWN"}, "-ERR no\r\n", "error ERR"},
	{"client|reply", []string{"CLIENT", "REPLY", "SKIP"}, "+OK\r\n", "success"},
	{"subscribe", []string{"SUBSCRIBE", "a", "b"}, "", ""},
}, plain[:4]...)

// lastEvents are the ways in which it ends.
var lastEvents = []event.Event{
	{Kind: event.Closed}, {Kind: event.HalfClosed}, {Kind: event.HalfClosed, Left: true}, {Kind: event.PeerClosed}, {Kind: event.PeerClosed, Left: true},
	{Kind: event.PeerClosed, Cut: event.Reset}, {Kind: event.PeerClosed, Cut: event.Broken}, {Kind: event.Vanished},
}

// FuzzEnd ends connections in every way with anything outstanding, and with requests that are sent or reported after the first end closed: each
// request is reported exactly once, as a command, as unpaired or as never run, and who ended the connection is the same for all of them.
func FuzzEnd(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0}, uint8(0), uint8(36), false)
	f.Add([]byte{8, 0, 9, 0, 10, 4, 9}, uint8(1), uint8(12), false)
	f.Add([]byte{2, 8, 0, 9, 3, 0, 11, 11}, uint8(2), uint8(5), true)
	f.Add([]byte{6, 0, 2, 8, 7, 5, 8}, uint8(3), uint8(255), true)
	f.Fuzz(func(t *testing.T, script []byte, answered, unread uint8, server bool) {
		p := newPlayer(t)
		if server {
			p.role = event.Server
		}
		d := dice(script)
		pause := time.Duration(d.roll(3)) * 40 * time.Millisecond
		behind, before := d.roll(4), d.roll(2) == 0 // requests behind the first end; they were sent before it
		ends := []event.Event{lastEvents[d.roll(len(lastEvents))], lastEvents[d.roll(len(lastEvents))]}
		var requests, replies strings.Builder
		var m model
		asked := 0
		for len(d) > 0 && asked < 100 {
			o := lastWords[d.roll(len(lastWords))]
			if m.multi && (o.name == "client|reply" || o.name == "subscribe") {
				o = plain[0] // the model has neither in a transaction
			}
			requests.Write(request(o.args...))
			if asked < int(answered) && !m.inSubscribedMode() && o.name != "quit" && o.name != "shutdown" {
				replies.WriteString(m.run(o))
			} else {
				answered = 0
			}
			asked++
		}
		reported := uint32(0)
		reasons := map[session.Reason]bool{}
		play := func(e event.Event) {
			e.Conn, e.Role = p.conn, p.role
			if e.Time == 0 {
				e.Time = p.now
			}
			for _, x := range p.tracker.Track(&e) {
				reported += x.Count
				if x.Outcome == session.Unanswered {
					reasons[x.Reason] = true
				}
			}
		}
		seq, replySeq := p.seq[event.Request], p.seq[event.Reply]
		play(event.Event{Kind: event.Open, Seq: seq, ReplySeq: replySeq})
		play(event.Event{Kind: event.Data, Direction: event.Request, Seq: seq, Data: []byte(requests.String())})
		seq += uint32(requests.Len())
		p.now += int64(time.Millisecond)
		play(event.Event{Kind: event.Data, Direction: event.Reply, Seq: replySeq, Data: []byte(replies.String())})
		replySeq += uint32(replies.Len())
		p.now += int64(pause)
		for i, e := range append(ends, event.Event{Kind: event.Closed, Unread: unread}) {
			e.Seq, e.ReplySeq = seq, replySeq
			sent := p.now
			p.now += int64(time.Millisecond)
			play(e)
			if !before {
				sent = p.now
			}
			for ; i == 0 && behind > 0 && len(p.tracker.conns) > 0; behind-- {
				text := request(lastWords[(asked+behind)%len(lastWords)].args...)
				play(event.Event{Kind: event.Data, Direction: event.Request, Seq: seq, Data: text, Time: sent})
				seq += uint32(len(text))
				asked++
			}
		}
		assert.EqualValues(t, asked, uint64(reported)+p.tracker.Stats().Unexecuted)
		assert.LessOrEqual(t, len(reasons), 1, "%v", reasons)
		assert.Zero(t, p.tracker.slots.used, "slots are given back")
		assert.Empty(t, p.tracker.conns)
	})
}
