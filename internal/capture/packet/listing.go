package packet

import (
	"slices"

	"github.com/redis-observer/redis-observer/internal/capture/packet/sockets"
	"github.com/redis-observer/redis-observer/internal/event"
)

// listing is a list of this machine's sockets. It shows connections that are idle, and those that
// no longer exist. A connection that only passes through this machine has no socket here, so a
// conversation is removed only if it had a socket in an earlier listing.
//
// A listing is used once every packet has been read that was captured before its end: only then is
// it known which connections were shown by packets, and which have ended since.
type listing struct {
	begun, ended   int64                        // in the time of the packets
	sockets        []sockets.Socket             // not handled yet
	present        map[event.Endpoints]bool     // connections with a socket here: whether the client awaits a reply
	endedMeanwhile map[event.Endpoints]struct{} // connections whose end was read since the listing began
	held           []*conversation              // shown by segments that all wait, so that no event has shown them
	compared       bool
	missing        []*conversation // had a socket here, but no longer
	moved          []*conversation // count at their other end after a change of the configuration
}

// reportListed queues the events of the next connection that the listing added or removed. It
// returns false if there is none left, or if packets from before the end of the listing remain to
// be read. The listing is over when an event has shown each of its connections.
func (t *conversations) reportListed(now int64) bool {
	l := t.listing
	if now < l.ended {
		return false
	}
	if t.reportNew(l) || t.reportGone(l) || t.reportMoved(l) {
		return true
	}
	if l.held = slices.DeleteFunc(l.held, (*conversation).shown); len(l.held) == 0 {
		t.listing = nil
	}
	return false
}

// shown reports whether no event is to be awaited that shows a conversation which packets have shown.
func (c *conversation) shown() bool {
	return c.opened || c.delivered || c.foreign || c.closed || c.gone || c.twin != nil
}

// reportNew queues the event of the next connection that is not in the table.
func (t *conversations) reportNew(l *listing) bool {
	for len(l.sockets) > 0 {
		s := &l.sockets[0]
		l.sockets = l.sockets[1:]
		key := event.Endpoints{Local: s.Local, Remote: s.Remote, LocalPort: s.LocalPort, RemotePort: s.RemotePort}
		if s.Accepted {
			key = swap(&key)
		}
		if s.Accepted && t.origins != nil {
			t.restoreKey(&key, l.begun)
		}
		if !t.ports.Load().has(key.RemotePort) {
			continue // the connecting end's ephemeral port has the number of an observed port
		}
		awaited := s.SentLast
		if s.Accepted {
			awaited = s.ReceivedLast
		}
		l.present[key] = awaited
		if c := t.table[key]; c != nil {
			if !c.listed && !c.shown() {
				l.held = append(l.held, c)
			}
			c.listed = true
			continue
		}
		_, endedMeanwhile := l.endedMeanwhile[key]
		_, opening := t.opening[key]
		if endedMeanwhile || opening || !s.Established {
			continue
		}
		t.addListed(key, awaited, l.ended)
		return true
	}
	return false
}

// addListed adds a conversation that was found by its socket.
func (t *conversations) addListed(key event.Endpoints, awaited bool, now int64) *conversation {
	c := t.add(key, now)
	c.active, c.listed = now, true
	e := t.event(c, event.Existing, now)
	e.Unplaced, e.Awaited = true, awaited
	return c
}

// reportGone removes the next conversation whose socket no longer exists: the packets of its end
// were lost.
func (t *conversations) reportGone(l *listing) bool {
	if !l.compared {
		l.compared = true
		t.compare(l)
	}
	for len(l.missing) > 0 {
		c := l.missing[0]
		l.missing = l.missing[1:]
		if !c.gone {
			t.discard(c, l.ended)
			return true
		}
	}
	return false
}

// compare finds the conversations to remove or move.
func (t *conversations) compare(l *listing) {
	for key, c := range t.table {
		_, found := l.present[key]
		switch {
		case c.removeAt != 0 || c.twin != nil:
		case !found && c.active < l.begun && (c.listed || onLoopback(&key)):
			l.missing = append(l.missing, c)
		case !c.foreign:
			if role, named := t.roleOf(&key); named && role != c.role {
				l.moved = append(l.moved, c)
			}
		}
	}
}

// reportMoved removes the next conversation that counts at its other end after a change of the
// configuration, and adds it there. Without a socket here it is added with its next packet.
func (t *conversations) reportMoved(l *listing) bool {
	for len(l.moved) > 0 {
		c := l.moved[0]
		l.moved = l.moved[1:]
		if c.gone || c.removeAt != 0 {
			continue
		}
		t.discard(c, l.ended)
		if awaited, found := l.present[c.key]; found {
			t.addListed(c.key, awaited, l.ended).streams = c.streams
		}
		return true
	}
	return false
}

// noteEnd records the end of a connection that is not in the table, for the listing under way.
func (t *conversations) noteEnd(key event.Endpoints) {
	if t.listing != nil {
		t.listing.endedMeanwhile[key] = struct{}{}
	}
}

// onLoopback reports whether both ends have loopback addresses, and thus are on this machine.
func onLoopback(e *event.Endpoints) bool {
	return e.RemoteAddrPort().Addr().IsLoopback() && e.LocalAddrPort().Addr().IsLoopback()
}
