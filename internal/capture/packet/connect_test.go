package packet

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// knocking is a client that connects, as packets show it.
type knocking struct {
	*conversations
	now    int64
	server byte // the last part of the server's address
	events []event.Event
}

func newKnocking(client, server []uint16) *knocking {
	return &knocking{conversations: newConversations(client, server, func(event.Role, *event.Endpoints) bool { return true }, new(losses)), now: 1, server: 1}
}

// pass passes a segment of a client whose first offset is 100, and of a server whose is 500.
func (k *knocking) pass(d event.Direction, flags uint8, payload string) {
	s := frame.Segment{SourcePort: 40000, DestinationPort: 6379, Seq: 100, Ack: 501, Flags: flags, Payload: []byte(payload)}
	s.Source[15], s.Destination[15] = 9, k.server
	if flags&frame.SYN == 0 {
		s.Seq++
	}
	if d == event.Reply {
		s.Source, s.Destination, s.SourcePort, s.DestinationPort = s.Destination, s.Source, s.DestinationPort, s.SourcePort
		s.Seq, s.Ack = 500, 101
	}
	var e event.Event
	k.conversations.events.begin(&e)
	for k.segment(&s, k.now); k.conversations.events.filled; k.conversations.events.begin(&e) {
		k.events = append(k.events, e)
	}
}

// opened returns how long it took to connect, by the only event.
func (k *knocking) opened(t *testing.T) time.Duration {
	t.Helper()
	if assert.Len(t, k.events, 1) {
		assert.Equal(t, event.Open, k.events[0].Kind)
	}
	return time.Duration(k.events[0].Took)
}

func TestTookToConnect(t *testing.T) {
	const syn, ack = frame.SYN, frame.ACK
	client := []uint16{6379}
	for _, test := range []struct {
		name string
		play func(k *knocking)
		want time.Duration
	}{
		{"answered", func(k *knocking) {
			k.pass(event.Request, syn, "")
			k.now += int64(3 * time.Millisecond)
			k.pass(event.Reply, syn|ack, "")
		}, 3 * time.Millisecond},
		{"answered when it was sent again", func(k *knocking) {
			k.pass(event.Request, syn, "")
			k.now += int64(time.Second)
			k.pass(event.Request, syn, "")
			k.now += int64(3 * time.Millisecond)
			k.pass(event.Reply, syn|ack, "")
		}, time.Second + 3*time.Millisecond},
		{"answered twice", func(k *knocking) {
			k.pass(event.Request, syn, "")
			k.now += int64(3 * time.Millisecond)
			k.pass(event.Reply, syn|ack, "")
			k.now += int64(time.Second)
			k.pass(event.Reply, syn|ack, "")
		}, 3 * time.Millisecond},
		{"by a coarse clock", func(k *knocking) {
			k.pass(event.Request, syn, "")
			k.pass(event.Reply, syn|ack, "")
		}, 1},
		{"not seen", func(k *knocking) { k.pass(event.Reply, syn|ack, "") }, 0},
		{"without a time", func(k *knocking) {
			k.untimed = true
			k.pass(event.Request, syn, "")
			k.untimed = false
			k.pass(event.Reply, syn|ack, "")
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := newKnocking(client, nil)
			test.play(k)
			k.now += int64(time.Minute) // the client may take its time
			k.pass(event.Request, ack, "")
			assert.Equal(t, test.want, k.opened(t))
			assert.Empty(t, k.syns)
		})
	}
	t.Run("at the server's end", func(t *testing.T) {
		k := newKnocking(nil, client)
		k.pass(event.Request, syn, "")
		k.pass(event.Reply, syn|ack, "")
		k.pass(event.Request, ack, "")
		assert.Zero(t, k.opened(t))
	})
}

func TestRefused(t *testing.T) {
	const syn, ack, rst = frame.SYN, frame.ACK, frame.RST
	refused := func(k *knocking) (n int) {
		for _, e := range k.events {
			if e.Kind == event.ConnectFailed {
				n++
				assert.Equal(t, event.Refused, e.Failure)
				assert.Equal(t, event.Client, e.Role)
				assert.EqualValues(t, 6379, e.Endpoints.RemotePort)
			}
		}
		return n
	}
	client := []uint16{6379}
	k := newKnocking(client, nil)
	k.pass(event.Request, syn, "")
	k.pass(event.Reply, rst|ack, "")
	k.pass(event.Reply, rst|ack, "")
	assert.Equal(t, 1, refused(k))
	assert.Empty(t, k.syns)
	assert.Empty(t, k.table)

	k.server = 2 // the same SYN behind an address translation
	k.pass(event.Request, syn, "")
	k.pass(event.Reply, rst|ack, "")
	assert.Equal(t, 1, refused(k), "a copy")
	k.now += 2 * twinWithin
	k.pass(event.Request, syn, "")
	k.pass(event.Reply, rst|ack, "")
	assert.Equal(t, 2, refused(k), "another attempt")

	k = newKnocking(nil, client)
	k.pass(event.Request, syn, "")
	k.pass(event.Reply, rst|ack, "")
	assert.Zero(t, refused(k), "the server's end connects to nobody")

	k = newKnocking(client, nil)
	k.pass(event.Request, syn, "")
	k.pass(event.Reply, syn|ack, "")
	k.pass(event.Reply, rst|ack, "")
	assert.Zero(t, refused(k), "it had answered")

	k = newKnocking(client, nil)
	k.pass(event.Reply, rst|ack, "")
	assert.Zero(t, refused(k), "nobody asked")
}
