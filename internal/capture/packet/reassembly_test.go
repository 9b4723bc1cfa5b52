package packet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/capture/capturetest"
	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// disorder splits a text into segments and sends them like a bad network: some twice, some out of
// order, some with old bytes again.
func disorder(k *capturetest.Conn, fromClient bool, text string, dice func(n int) int) {
	next := &k.Client
	if !fromClient {
		next = &k.Server
	}
	begin := *next
	type segment struct{ from, to int }
	var segments []segment
	for at := 0; at < len(text) && len(segments) < 12; {
		to := at + 1 + dice(len(text)-at)
		segments = append(segments, segment{max(0, at-dice(8)), to})
		if dice(4) == 0 {
			segments = append(segments, segments[dice(len(segments))])
		}
		at = to
	}
	last := segments[len(segments)-1].to
	segments = append(segments, segment{min(last, len(text)-1), len(text)})
	for i := range segments {
		j := dice(len(segments))
		segments[i], segments[j] = segments[j], segments[i]
	}
	for _, s := range segments {
		*next = begin + uint32(s.from)
		if fromClient {
			k.RequestIn(len(text), text[s.from:s.to])
		} else {
			k.ReplyIn(len(text), text[s.from:s.to])
		}
	}
	*next = begin + uint32(len(text))
}

// outcomes replays a capture, and returns the number of commands that succeeded, and of all other
// exchanges.
func outcomes(t *testing.T, file []byte) (succeeded, others int) {
	t.Helper()
	source, err := packet.OpenReplay(packet.ReplayOptions{
		Files: []string{"-"}, Stdin: bytes.NewReader(file), ClientPorts: []uint16{capturetest.Port},
		Resolve: func(event.Role, *event.Endpoints) bool { return true },
	})
	require.NoError(t, err)
	tracker := correlate.New(correlate.Options{
		HoldFor: packet.ReorderTimeout,
		Resolve: func(event.Role, *event.Endpoints) (identity.ID, bool) { return 0, true },
	})
	count := func(exchanges []session.Exchange) {
		for _, x := range exchanges {
			if x.Outcome == session.Success {
				succeeded += int(x.Count)
			} else {
				others += int(x.Count)
			}
		}
	}
	var e event.Event
	for err := source.Read(&e); !errors.Is(err, io.EOF); err = source.Read(&e) {
		require.NoError(t, err)
		count(tracker.Track(&e))
	}
	count(tracker.Flush())
	return succeeded, others
}

// FuzzReassembly: if each byte is captured before the other end acknowledges it, disorder does not
// change the counts.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{}, uint32(1000))
	f.Add([]byte("any order, and some of it twice"), uint32(1<<32-20))
	f.Add(bytes.Repeat([]byte{200, 3, 0, 91, 17}, 30), uint32(1<<31-20))
	f.Fuzz(func(t *testing.T, throws []byte, begin uint32) {
		dice := func(n int) int {
			if len(throws) == 0 || n < 1 {
				return 0
			}
			throw := int(throws[0])
			throws = throws[1:]
			return throw % n
		}
		c := capturetest.New()
		k := c.ConnectAt(40000, begin, begin+7)
		commands := 0
		for round := 0; round == 0 || len(throws) > 0 && round < 50; round++ {
			var requests, replies string
			for n := range 1 + dice(4) {
				requests += capturetest.Command("SET", fmt.Sprint("key", n), "some value")
				replies += "+OK\r\n"
				commands++
			}
			disorder(k, true, requests, dice)
			disorder(k, false, replies, dice)
		}
		k.Close()
		succeeded, others := outcomes(t, c.Pcap())
		assert.Equal(t, commands, succeeded)
		assert.Zero(t, others)
	})
}
