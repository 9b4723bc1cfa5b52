package socket_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/capture/socket"
	"github.com/redis-observer/redis-observer/internal/event"
)

// A listing must not remove a connection that it may not report.
func TestReachOfWhatTheProbesTell(t *testing.T) {
	for _, test := range []struct {
		name  string
		kind  uint8
		flags uint8
		reach event.Reach
	}{
		{"opened here", bpf.Opened, bpf.OwnNetwork, event.Always},
		{"existed here", bpf.Existing, bpf.OwnNetwork, event.Always},
		{"found by its holder", bpf.Existing, 0, event.WhileHeld},
		{"a subflow of MPTCP here", bpf.OtherStream, bpf.OwnNetwork, event.Always},
		{"a subflow of MPTCP elsewhere, which no process holds, or SCTP", bpf.OtherStream, 0, event.Never},
	} {
		t.Run(test.name, func(t *testing.T) {
			var live socket.Live
			var e event.Event
			assert.True(t, live.Translate(&e, &bpf.Event{Conn: 1, Kind: test.kind, Flags: test.flags}, nil))
			assert.Equal(t, test.reach, e.Reach)
		})
	}
}
