package socket

import (
	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Translate makes an Event of what probes wrote, on a Live without probes.
func (l *Live) Translate(e *event.Event, head *bpf.Event, payload []byte) bool {
	return l.translate(e, head, payload)
}
