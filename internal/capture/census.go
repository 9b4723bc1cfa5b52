package capture

import (
	"github.com/redis-observer/redis-observer/internal/capture/sockets"
)

// census is one look at the sockets of this machine: it tells of connections that are silent, and of those that are no more.
// A connection that only passes through has no socket here, so that none is given up of which a socket was never seen here.
//
// What it found is used when every packet has been read that was captured before its end: only then it is known which
// connections packets have told of by themselves, and which have ended since.
type census struct {
	begun, ended int64            // time of the day
	sockets      []sockets.Socket // whose turn is to come
	here         map[Endpoints]struct{}
	over         map[Endpoints]struct{} // those whose end was read since it began
	compared     bool
	missing      []*conversation // had a socket here, and have none any more
}

// count begins a census. The clock is that of the packets.
func (t *conversations) count(clock func() int64) error {
	l := &census{begun: clock(), here: make(map[Endpoints]struct{}), over: make(map[Endpoints]struct{})}
	found, err := sockets.List(t.ports.Load().has)
	if err != nil {
		return err
	}
	l.sockets, l.ended = found, clock()
	t.census = l
	return nil
}

// reckon tells of the next connection that the census found, or that it did not. It reports false when there is none left,
// or none yet because the packets have been read up to a time that is too early.
func (t *conversations) reckon(now int64) bool {
	l := t.census
	if now < l.ended {
		return false
	}
	if t.announce(l) || t.sweep(l) {
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
		key := Endpoints{Local: s.Local, Remote: s.Remote, LocalPort: s.LocalPort, RemotePort: s.RemotePort}
		if s.Accepted {
			key = swap(&key)
		}
		if !t.ports.Load().has(key.RemotePort) {
			continue // the port of the end that connected happens to be of an observed number
		}
		l.here[key] = struct{}{}
		if c := t.table[key]; c != nil {
			c.listed = true
			continue
		}
		_, over := l.over[key]
		_, opening := t.opening[key]
		if over || opening || !s.Established {
			continue
		}
		c := t.meet(key, l.ended)
		c.active, c.listed = l.ended, true
		e := t.event(c, Existing, l.ended)
		e.Unplaced, e.Awaited = true, s.SentLast
		if s.Accepted {
			e.Awaited = s.ReceivedLast
		}
		return true
	}
	return false
}

// sweep gives up the next of the conversations whose socket is not there any more: the packets that told of their end were lost.
// So it does with one that the configuration has observed at its other end since.
func (t *conversations) sweep(l *census) bool {
	if !l.compared {
		l.compared = true
		for key, c := range t.table {
			if _, found := l.here[key]; !found && c.active < l.begun && c.forgetAt == 0 && (c.listed || key.onLoopback()) {
				l.missing = append(l.missing, c)
			}
		}
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

// noteEnd keeps in mind that a connection ended of which nothing else is known.
func (t *conversations) noteEnd(key Endpoints) {
	if t.census != nil {
		t.census.over[key] = struct{}{}
	}
}

// onLoopback reports whether both ends are on this machine for certain.
func (e *Endpoints) onLoopback() bool {
	return e.RemoteAddrPort().Addr().IsLoopback() && e.LocalAddrPort().Addr().IsLoopback()
}
