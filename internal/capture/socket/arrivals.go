package socket

import (
	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/event"
)

// arrivals are when the bytes of the event that is read became readable. Nearly always the event
// says that itself, by one time for all; otherwise the event before it does.
type arrivals struct {
	told     []bpf.Arrival // of the received bytes from seq on
	conn     uint64
	seq, len uint32
	list     event.Arrivals // what the event that is read has
}

// learn takes the event before that of received bytes.
func (a *arrivals) learn(head *bpf.Event, payload []byte) {
	a.conn, a.seq, a.len = head.Conn, head.Seq, head.Len
	a.told = bpf.ArrivalsOf(payload, a.told[:0])
}

// of returns the arrivals of an event of received bytes, nil if nothing is known. They are valid
// until the next call.
func (a *arrivals) of(head *bpf.Event) *event.Arrivals {
	if head.Kind != bpf.Received && head.Kind != bpf.ReceivedGap || head.Flags&bpf.Plaintext != 0 {
		return nil
	}
	a.list = a.list[:0]
	if at := head.Arrived(); at != 0 {
		a.list = append(a.list, event.Arrival{From: head.Seq, End: head.Seq + head.Len, Time: int64(at)})
		return &a.list
	}
	if a.conn != head.Conn || head.Seq-a.seq >= a.len {
		return nil
	}
	for _, t := range a.told {
		a.list = append(a.list, event.Arrival{From: t.From, End: t.End, Time: int64(t.Time)})
	}
	return &a.list
}
