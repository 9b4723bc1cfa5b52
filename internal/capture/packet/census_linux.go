package packet

import (
	"github.com/redis-observer/redis-observer/internal/capture/packet/sockets"
	"github.com/redis-observer/redis-observer/internal/event"
)

// count begins a census. The clock is that of the packets.
func (t *conversations) count(clock func() int64) error {
	l := &census{begun: clock(), here: make(map[event.Endpoints]bool), over: make(map[event.Endpoints]struct{})}
	found, err := sockets.List(t.ports.Load().has)
	if err != nil {
		return err
	}
	l.sockets, l.ended = found, clock()
	t.census = l
	return nil
}
