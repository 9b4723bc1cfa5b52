package packet

import (
	"github.com/redis-observer/redis-observer/internal/capture/packet/sockets"
	"github.com/redis-observer/redis-observer/internal/event"
)

// census is one look at the sockets of this machine: it tells of connections that are silent, and of those that are no more.
// A connection that only passes through has no socket here, so that none is given up of which a socket was never seen here.
//
// What it found is used when every packet has been read that was captured before its end: only then it is known which
// connections packets have told of by themselves, and which have ended since.
type census struct {
	begun, ended int64                        // by the clock of the packets
	sockets      []sockets.Socket             // whose turn is to come
	here         map[event.Endpoints]bool     // those that have a socket here: whether the client awaits a reply
	over         map[event.Endpoints]struct{} // those whose end was read since it began
	compared     bool
	missing      []*conversation // had a socket here, and have none any more
	turned       []*conversation // count at their other end since the configuration changed
}

// reckon tells of the next connection that the census found, or that it did not. It reports false when there is none left,
// or none yet because the packets have been read up to a time that is too early.
func (t *conversations) reckon(now int64) bool {
	l := t.census
	if now < l.ended {
		return false
	}
	if t.announce(l) || t.sweep(l) || t.turn(l) {
		return true
	}
	t.census = nil
	return false
}

// announce tells of the next connection that was not known.
func (t *conversations) announce(l *census) bool {
	for len(l.sockets) > 0 {
		s := &l.sockets[0]
		l.sockets = l.sockets[1:]
		key := event.Endpoints{Local: s.Local, Remote: s.Remote, LocalPort: s.LocalPort, RemotePort: s.RemotePort}
		if s.Accepted {
			key = swap(&key)
		}
		if !t.ports.Load().has(key.RemotePort) {
			continue // the port of the end that connected happens to be of an observed number
		}
		awaited := s.SentLast
		if s.Accepted {
			awaited = s.ReceivedLast
		}
		l.here[key] = awaited
		if c := t.table[key]; c != nil {
			c.listed = true
			continue
		}
		_, over := l.over[key]
		_, opening := t.opening[key]
		if over || opening || !s.Established {
			continue
		}
		t.exists(key, awaited, l.ended)
		return true
	}
	return false
}

// exists begins a conversation that was found by its socket.
func (t *conversations) exists(key event.Endpoints, awaited bool, now int64) *conversation {
	c := t.meet(key, now)
	c.active, c.listed = now, true
	e := t.event(c, event.Existing, now)
	e.Unplaced, e.Awaited = true, awaited
	return c
}

// sweep gives up the next of the conversations whose socket is not there any more: the packets that told of their end were lost.
func (t *conversations) sweep(l *census) bool {
	if !l.compared {
		l.compared = true
		t.compare(l)
	}
	for len(l.missing) > 0 {
		c := l.missing[0]
		l.missing = l.missing[1:]
		if !c.gone {
			t.dismiss(c, l.ended)
			return true
		}
	}
	return false
}

// compare finds the conversations that the census changes something for.
func (t *conversations) compare(l *census) {
	for key, c := range t.table {
		_, found := l.here[key]
		switch {
		case c.forgetAt != 0:
		case !found && c.active < l.begun && (c.listed || onLoopback(&key)):
			l.missing = append(l.missing, c)
		case !c.foreign:
			if role, named := t.roleOf(&key); named && role != c.role {
				l.turned = append(l.turned, c)
			}
		}
	}
}

// turn gives up the next of the conversations that a change of the configuration made count at their other end, and begins it there. One
// without a socket here begins when it speaks.
func (t *conversations) turn(l *census) bool {
	for len(l.turned) > 0 {
		c := l.turned[0]
		l.turned = l.turned[1:]
		if c.gone || c.forgetAt != 0 {
			continue
		}
		t.dismiss(c, l.ended)
		if awaited, found := l.here[c.key]; found {
			t.exists(c.key, awaited, l.ended).streams = c.streams
		}
		return true
	}
	return false
}

// noteEnd keeps in mind that a connection ended of which nothing else is known.
func (t *conversations) noteEnd(key event.Endpoints) {
	if t.census != nil {
		t.census.over[key] = struct{}{}
	}
}

// onLoopback reports whether both ends are on this machine for certain.
func onLoopback(e *event.Endpoints) bool {
	return e.RemoteAddrPort().Addr().IsLoopback() && e.LocalAddrPort().Addr().IsLoopback()
}
