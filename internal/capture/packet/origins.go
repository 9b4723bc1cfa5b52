package packet

import (
	"log/slog"
	"math"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/capture/packet/sockets"
	"github.com/redis-observer/redis-observer/internal/event"
)

// A connection of this machine to a Service can leave it under the address of a backend (DNAT in the
// OUTPUT chain, as of kube-proxy). No packet has the Service's address then (on loopback replies have,
// see halves.go), but the client's socket has. So if an address has no name, the socket is asked which one the client connected to, and the
// segments of the connection get that address before anything else is done with them.

const (
	maxOrigins   = 1 << 16 // connections
	maxBackends  = 1 << 12
	maxClients   = 1 << 12                       // addresses
	maxPause     = int64(100 * time.Millisecond) // between two listings
	lookUpRepeat = int64(time.Second)            // until the next listing after one that failed
)

// peer is an address and a port.
type peer struct {
	address [16]byte
	port    uint16
}

func clientOf(e *event.Endpoints) peer { return peer{e.Local, e.LocalPort} }
func serverOf(e *event.Endpoints) peer { return peer{e.Remote, e.RemotePort} }

// origins know which address the clients of this machine connected to. They are for live packets
// only.
type origins struct {
	list  func(wanted func(port uint16) bool) ([]sockets.Socket, error)
	clock func() int64 // of the packets
	log   *slog.Logger

	of       map[event.Endpoints]peer // by the endpoints that packets show
	servers  map[peer][]peer          // of the last listing, by client
	listedAt int64                    // when the last listing began
	next     int64                    // when the next one may begin
	late     bool                     // one was due before that; logged

	clients  map[[16]byte]struct{} // addresses that clients of this machine have used
	backends map[peer]peer         // where clients of all connections to a backend connected to, if to one address
}

func newOrigins(list func(func(uint16) bool) ([]sockets.Socket, error), clock func() int64, log *slog.Logger) *origins {
	return &origins{
		list: list, clock: clock, log: log, listedAt: math.MinInt64,
		of:       make(map[event.Endpoints]peer),
		clients:  make(map[[16]byte]struct{}),
		backends: make(map[peer]peer),
	}
}

// restore gives a segment the address that its client connected to.
func (t *conversations) restore(s *frame.Segment, d event.Direction, now int64) {
	begins := s.Flags&(frame.SYN|frame.ACK) == frame.SYN
	if !begins && t.isKnown(s, d) {
		return
	}
	key := keyOf(s, d)
	server, found := t.origins.of[key]
	if begins || !found && t.isNew(s, &key) {
		found = t.restoreKey(&key, now)
		server = serverOf(&key)
	}
	switch {
	case !found:
	case d == event.Request:
		s.Destination, s.DestinationPort = server.address, server.port
	default:
		s.Source, s.SourcePort = server.address, server.port
	}
}

// restoreKey gives a connection that begins the address that its client connected to. It reports
// whether that is another one.
func (t *conversations) restoreKey(key *event.Endpoints, now int64) bool {
	server, found := t.originOf(key, now)
	if !found {
		delete(t.origins.of, *key)
		return false
	}
	t.origins.note(key, server)
	key.Remote, key.RemotePort = server.address, server.port
	return true
}

// isNew reports whether a segment can be the first one that is read of a conversation.
func (t *conversations) isNew(s *frame.Segment, key *event.Endpoints) bool {
	if s.Flags&frame.SYN == 0 && !carries(s) || t.table[*key] != nil {
		return false
	}
	_, opening := t.opening[*key]
	return !opening
}

// isKnown reports whether a segment belongs to a recent conversation as it is.
func (t *conversations) isKnown(s *frame.Segment, d event.Direction) bool {
	port := s.SourcePort
	if d == event.Reply {
		port = s.DestinationPort
	}
	c := t.recent[port%recents]
	return c != nil && c.has(s, d) && !c.gone
}

// originOf returns the server that the client of a connection connected to, if packets show another
// one, which has no name.
func (t *conversations) originOf(key *event.Endpoints, now int64) (server peer, found bool) {
	if t.isNamed(key) {
		return peer{}, false
	}
	o := t.origins
	current := o.refresh(now, func(port uint16) bool { client, _ := t.ports.Load().of(port); return client })
	if server, found = t.socketOf(key, current); !found {
		return peer{}, false
	}
	named := *key
	named.Remote, named.RemotePort = server.address, server.port
	return server, t.hasName(event.Client, &named)
}

// socketOf returns the server of the client's socket; false if that is the one that packets show, or
// if it is not known.
func (t *conversations) socketOf(key *event.Endpoints, current bool) (server peer, found bool) {
	o, shown := t.origins, serverOf(key)
	servers := o.servers[clientOf(key)]
	if !current {
		servers = nil
	}
	before, again := o.of[*key]
	count := 0
	for _, candidate := range servers {
		if candidate == shown {
			o.learn(shown, shown)
			return peer{}, false
		}
		other := *key
		other.Remote, other.RemotePort = candidate.address, candidate.port
		// The port of a client can be that of several connections.
		if c := t.table[other]; len(servers) > 1 && c != nil && c.seen != [2]bool{} && !(again && before == candidate) {
			continue
		}
		server = candidate
		count++
	}
	switch {
	case count == 1:
		o.learn(shown, server)
		return server, true
	case count > 1:
		return peer{}, false
	}
	if _, own := o.clients[key.Local]; !own {
		return peer{}, false
	}
	server, found = o.backends[shown] // its socket is gone
	return server, found && server != shown
}

// learn notes that a client connected to a server when packets show a backend.
func (o *origins) learn(backend, server peer) {
	known, found := o.backends[backend]
	switch {
	case !found && len(o.backends) >= maxBackends:
		clear(o.backends)
	case found && known != server:
		server = backend // there are several
	}
	o.backends[backend] = server
}

// note remembers the server of a connection.
func (o *origins) note(key *event.Endpoints, server peer) {
	if _, found := o.of[*key]; !found && len(o.of) >= maxOrigins {
		for other := range o.of { // if its connection lives, its next segment asks again
			delete(o.of, other)
			break
		}
	}
	o.of[*key] = server
}

// refresh lists the sockets again if the last listing began before a packet was captured. It
// reports whether the list is of a later time than the packet.
func (o *origins) refresh(captured int64, wanted func(port uint16) bool) bool {
	if captured <= o.listedAt {
		return true
	}
	begun := o.clock()
	if pause := o.next - begun; pause > maxPause {
		if !o.late {
			o.late = true
			o.log.Warn("listing sockets takes long: short connections that are translated (DNAT) may count under the address of the backend")
		}
		return false
	} else if pause > 0 {
		time.Sleep(time.Duration(pause)) // meanwhile, packets gather for which one listing suffices
		begun = o.clock()
	}
	found, err := o.list(wanted)
	end := o.clock()
	if err != nil {
		o.next = end + lookUpRepeat
		o.log.Warn("cannot list sockets: connections that are translated (DNAT) count under the address of the backend", "error", err)
		return false
	}
	o.listedAt, o.next = begun, end+(end-begun) // at most half of the time
	if len(o.clients) >= maxClients {
		clear(o.clients)
	}
	o.servers = make(map[peer][]peer, len(found))
	for i := range found {
		s := &found[i]
		client := peer{s.Local, s.LocalPort}
		o.servers[client] = append(o.servers[client], peer{s.Remote, s.RemotePort})
		o.clients[s.Local] = struct{}{}
	}
	return true
}
