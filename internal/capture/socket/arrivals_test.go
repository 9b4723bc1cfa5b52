package socket

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/event"
)

func TestArrivals(t *testing.T) {
	told := []bpf.Arrival{{From: 100, End: 110, Time: 7}, {From: 110, End: 140, Time: 8}}
	a := &arrivals{told: told, conn: 1, seq: 105, len: 20}
	received := func(conn uint64, seq uint32, kind, flags uint8) *bpf.Event {
		return &bpf.Event{Conn: conn, Seq: seq, Kind: kind, Flags: flags}
	}
	want := &event.Arrivals{{From: 100, End: 110, Time: 7}, {From: 110, End: 140, Time: 8}}
	assert.Equal(t, want, a.of(received(1, 105, bpf.Received, 0)))
	assert.Equal(t, want, a.of(received(1, 124, bpf.ReceivedGap, 0)), "the last event of the same call")
	assert.Nil(t, a.of(received(1, 125, bpf.Received, 0)), "of the next call nothing was told")
	assert.Nil(t, a.of(received(1, 104, bpf.Received, 0)))
	assert.Nil(t, a.of(received(2, 105, bpf.Received, 0)), "another connection")
	assert.Nil(t, a.of(received(1, 105, bpf.Sent, 0)))
	assert.Nil(t, a.of(received(1, 105, bpf.Received, bpf.Plaintext)), "offsets of plaintext are its own")
}
