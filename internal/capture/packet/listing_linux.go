package packet

import (
	"github.com/redis-observer/redis-observer/internal/capture/packet/sockets"
	"github.com/redis-observer/redis-observer/internal/event"
)

// startListing lists the sockets. The clock is that of the packets.
func (t *conversations) startListing(clock func() int64) error {
	l := &listing{begun: clock(), present: make(map[event.Endpoints]bool), endedMeanwhile: make(map[event.Endpoints]struct{})}
	found, err := sockets.List(t.ports.Load().has)
	if err != nil {
		return err
	}
	l.sockets, l.ended = found, clock()
	t.listing = l
	return nil
}
