package socket

import (
	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Translate converts an event of the probes, on a Live without probes.
func (l *Live) Translate(e *event.Event, head *bpf.Event, payload []byte) bool {
	return l.translate(e, head, payload)
}
