package capture

import "github.com/redis-observer/redis-observer/bpf"

// Translate makes an Event of what probes wrote, on a Live without probes.
func (l *Live) Translate(event *Event, head *bpf.Event, payload []byte) bool {
	return l.translate(event, head, payload)
}
