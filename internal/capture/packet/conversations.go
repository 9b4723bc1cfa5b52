package packet

import (
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
)

// Limits of the tables.
const (
	maxConversations = 1 << 18 // as many as the tracker keeps
	maxOpenings      = 1 << 16 // handshakes that are not complete
	maxEarly         = 1 << 8  // SYNs that carry data
	maxEarlyBytes    = 1 << 16 // bytes that one of them carries
	maxHoles         = 16      // holes of one stream
	evictCandidates  = 8
	recents          = 1 << 10    // entries of the cache in front of the table
	linger           = int64(2e9) // ns after its end in which late packets of a conversation are expected
	maxEnding        = 1 << 16    // ended conversations of which late packets are expected
	plausible        = 1 << 26    // bytes by which a segment's offset may differ: more than are in flight on any network
)

// conversations turn segments into events: they find which end is the server, which conversation a
// segment belongs to, and when that begins and ends. The tracker puts streams into order, for every
// Source.
//
// A SYN is stored only if it carries data, and the answer to a SYN in a small table of its own, so
// that a SYN flood does not evict conversations.
type conversations struct {
	ports   atomic.Pointer[portSets]
	resolve func(event.Role, *event.Endpoints) bool
	table   map[event.Endpoints]*conversation // by the endpoints as seen from the client
	recent  [recents]*conversation            // a cache of the table, by the client's port
	opening map[event.Endpoints]opening
	early   map[event.Endpoints]early
	syns    map[event.Endpoints]syn     // where the handshake is not complete
	answers map[opening]event.Endpoints // to SYNs that were not seen under the same address
	ending  []*conversation             // ended ones that are still in the table, the first to be removed first
	ids     uint64
	events  eventQueue
	listing *listing // the one under way, or nil; for packets on this machine only
	origins *origins // the servers that clients of this machine connected to, or nil
	lost    *losses
	untimed bool  // the packet has no time
	since   int64 // when the first packet was captured
	steps   int   // times that the clock was set back
	refused [maxRefused]refusal

	waiting      []*conversation // those of which segments wait, or did, by when the first does no longer
	waitingBytes int             // of all of them
	waited       uint64          // number of the last segment that had to wait
	due          *conversation   // one of which segments may come next
	skewed       uint64          // segments that were captured before what they acknowledge,
	skew         int64           // by how much at most, in ns

	hasName func(event.Role, *event.Endpoints) bool // whether an end has a name of its own; nil: none has
	started map[opening]*conversation               // those that began lately, by their initial offsets; for hasName only
	glances [glances]glance
	halves  [maxHalves]half
	seed    maphash.Seed
	merged  uint64    // conversations that were copies of others under another address
	late    uint64    // those of which bytes had been delivered before that was known
	alike   uint64    // those with the offsets and bytes of others that were not in step with them
	added   uint64    // conversations since the beginning
	oneWay  [2]uint64 // those removed of which only one direction was seen, by Direction
}

// portSets are the observed ports.
type portSets struct{ client, server [1 << 16 / 64]uint64 }

func newPortSets(client, server []uint16) *portSets {
	sets := new(portSets)
	for _, port := range client {
		sets.client[port/64] |= 1 << (port % 64)
	}
	for _, port := range server {
		sets.server[port/64] |= 1 << (port % 64)
	}
	return sets
}

func (s *portSets) of(port uint16) (client, server bool) {
	return s.client[port/64]>>(port%64)&1 != 0, s.server[port/64]>>(port%64)&1 != 0
}

func (s *portSets) has(port uint16) bool {
	return (s.client[port/64]|s.server[port/64])>>(port%64)&1 != 0
}

// opening is a handshake whose SYN-ACK was seen: the first offset of each stream.
type opening struct{ offsets [2]uint32 }

// syn is a SYN that a client sent.
type syn struct {
	offset   uint32 // the first of the client
	time     int64
	untimed  bool  // the capture has no time for it
	answered int64 // when the answer was seen, 0 before
}

// early is the payload of a client's SYN (TCP Fast Open). The SYN-ACK shows how much of it the
// server accepted.
type early struct {
	seq  uint32 // offset of the first byte
	data []byte
	time int64
}

// conversation is a TCP connection, as far as packets show it.
type conversation struct {
	key       event.Endpoints // as seen from the client
	endpoints event.Endpoints // as seen from the observed end
	id        uint64
	role      event.Role
	streams   [2]stream // by Direction
	active    int64
	removeAt  int64 // 0 until both ends have closed
	start     opening
	opened    bool          // start is known
	reopening bool          // there is an opening for the same endpoints
	foreign   bool          // the end with the observed port is the one that connected, so it is not a server
	closed    bool          // its end was queued
	gone      bool          // it was removed from the table
	listed    bool          // one of its sockets was found on this machine
	seen      [2]bool       // segments were seen, by Direction
	oneSided  bool          // waiting for the other direction was in vain
	steps     int           // of the clock, when it was added
	waits     *waits        // segments that wait; nil if there are none
	delivered bool          // a segment of it was delivered
	young     uint8         // segments that were compared with those of others
	expected  bool          // a copy whose address has a name is likely to follow
	twin      *conversation // the one that this is a copy of
	copies    []*conversation
	waiting   bool // it is in the list of those that have some
}

// stream is one direction of a conversation.
type stream struct {
	end      uint32 // offset behind the last byte seen
	known    bool   // end is set
	assumed  bool   // so far, end follows from what the other end acknowledged
	finished bool
	last     int64  // time of the last segment that was delivered
	holes    []hole // ranges before end that were not seen, in order
}

// hole is a range of offsets that was not seen.
type hole struct{ from, to uint32 }

func newConversations(client, server []uint16, resolve func(event.Role, *event.Endpoints) bool, lost *losses) *conversations {
	c := &conversations{
		resolve: resolve,
		table:   make(map[event.Endpoints]*conversation),
		opening: make(map[event.Endpoints]opening),
		early:   make(map[event.Endpoints]early),
		started: make(map[opening]*conversation),
		syns:    make(map[event.Endpoints]syn),
		answers: make(map[opening]event.Endpoints),
		seed:    maphash.MakeSeed(),
		lost:    lost,
	}
	c.ports.Store(newPortSets(client, server))
	return c
}

// segment handles a segment, and queues its events. It reports whether a port of it is observed.
func (t *conversations) segment(s *frame.Segment, now int64) bool {
	if t.since == 0 {
		t.since = now
	}
	direction, observed := t.orient(s)
	if !observed {
		return false
	}
	if t.origins != nil {
		t.restore(s, direction, now)
	}
	t.observe(s, direction, now)
	return true
}

// observe handles a segment of an observed port.
func (t *conversations) observe(s *frame.Segment, direction event.Direction, now int64) {
	if s.Flags&frame.SYN != 0 {
		t.handshake(keyOf(s, direction), direction, s, now)
		return
	}
	if s.Flags&frame.RST != 0 && direction == event.Reply && t.refuse(keyOf(s, direction), s, now) {
		return
	}
	c := t.find(direction, s, now)
	if c == nil {
		if s.Flags&(frame.FIN|frame.RST) != 0 {
			t.noteEnd(keyOf(s, direction))
		}
		return
	}
	own := c
	if c.twin != nil {
		c = c.twin
	}
	st := &c.streams[direction&1] // &1 avoids a bounds check
	if s.Seq != st.end && c.isOver(st, s, t.steps) {
		t.discard(c, now)
		c = t.add(own.key, now)
	}
	c.active = now
	c.seen[direction&1] = true
	if c.closed {
		return
	}
	if !c.seen[direction&1^1] && len(s.Payload) > 1 {
		c = t.complete(c, direction, s, now)
	}
	wait := false
	if c.young < youngSegments && len(s.Payload) > 1 {
		c = t.compareSegment(c, direction, s, now)
		wait = t.awaitsName(c)
	}
	if carries(s) && (wait || c.isEarly(direction, s) || c.waits != nil && c.isBehind(direction, s)) {
		t.wait(c, direction, s, now)
		return
	}
	t.deliver(c, direction, s, now)
	if c.waits != nil {
		t.due = c
	}
}

// deliver queues the events of a segment whose turn has come.
func (t *conversations) deliver(c *conversation, direction event.Direction, s *frame.Segment, now int64) {
	if c.closed {
		return
	}
	c.delivered = c.delivered || len(s.Payload) > 0
	if c.foreign {
		if s.Flags&(frame.RST|frame.FIN) != 0 {
			c.closed = true
			t.retire(c, now)
		}
		return
	}
	if s.Flags&frame.RST != 0 {
		t.reset(c, direction, s, now)
		return
	}
	if st := &c.streams[direction&1]; st.assumed && carries(s) {
		t.begin(c, st, direction, s, now)
	}
	if len(c.streams[direction&1^1].holes) > 0 && s.Flags&frame.ACK != 0 {
		t.acknowledged(c, 1-direction, s.Ack, now)
	}
	if len(s.Payload) > 0 || s.Missing > 0 {
		if other := &c.streams[direction&1^1]; !other.known && s.Flags&frame.ACK != 0 {
			other.end, other.known, other.assumed = s.Ack, true, true
		}
		now = t.causal(c, direction, s, now)
		t.payload(c, &c.streams[direction&1], direction, s, now)
	}
	if s.Flags&frame.FIN != 0 {
		t.finish(c, direction, s.Seq+uint32(len(s.Payload))+s.Missing, now)
	}
}

// orient returns the direction of a segment: the end whose port is observed is the server.
func (t *conversations) orient(s *frame.Segment) (d event.Direction, observed bool) {
	ports := t.ports.Load()
	toServer, fromServer := ports.has(s.DestinationPort), ports.has(s.SourcePort)
	switch {
	case toServer && fromServer:
		return t.guess(s), true
	case fromServer:
		return event.Reply, true
	default:
		return event.Request, toServer
	}
}

func keyOf(s *frame.Segment, d event.Direction) event.Endpoints {
	if d == event.Request {
		return event.Endpoints{Local: s.Source, Remote: s.Destination, LocalPort: s.SourcePort, RemotePort: s.DestinationPort}
	}
	return event.Endpoints{Local: s.Destination, Remote: s.Source, LocalPort: s.DestinationPort, RemotePort: s.SourcePort}
}

// guess returns the direction of a segment if both ports are observed: by the tables, by the flags
// of a SYN, by which end has a name, and otherwise by the lower port, because clients have high
// ones.
func (t *conversations) guess(s *frame.Segment) event.Direction {
	if s.Flags&frame.SYN != 0 {
		if s.Flags&frame.ACK != 0 {
			return event.Reply
		}
		return event.Request
	}
	request, reply := keyOf(s, event.Request), keyOf(s, event.Reply)
	for d, key := range [...]event.Endpoints{event.Request: request, event.Reply: reply} {
		if t.table[key] != nil {
			return event.Direction(d)
		}
		if _, found := t.opening[key]; found {
			return event.Direction(d)
		}
	}
	if _, named := t.roleOf(&request); named {
		if _, both := t.roleOf(&reply); !both {
			return event.Request
		}
	} else if _, named := t.roleOf(&reply); named {
		return event.Reply
	}
	if s.DestinationPort <= s.SourcePort {
		return event.Request
	}
	return event.Reply
}

// roleOf returns the end at which a conversation is counted, and whether it has a name. Packets
// show both ends; the conversation counts once, at the client's end if that has a name.
func (t *conversations) roleOf(key *event.Endpoints) (role event.Role, named bool) {
	client, server := t.ports.Load().of(key.RemotePort)
	if client && t.resolve(event.Client, key) {
		return event.Client, true
	}
	swapped := swap(key)
	if server && t.resolve(event.Server, &swapped) {
		return event.Server, true
	}
	if server && !client {
		return event.Server, false
	}
	return event.Client, false
}

// swap returns the endpoints as seen from the other end.
func swap(e *event.Endpoints) event.Endpoints {
	return event.Endpoints{Local: e.Remote, Remote: e.Local, LocalPort: e.RemotePort, RemotePort: e.LocalPort}
}

// has reports whether a segment belongs to the conversation.
func (c *conversation) has(s *frame.Segment, d event.Direction) bool {
	client, server := &c.key.Local, &c.key.Remote
	if d == event.Request {
		return s.SourcePort == c.key.LocalPort && s.DestinationPort == c.key.RemotePort && s.Source == *client && s.Destination == *server
	}
	return s.SourcePort == c.key.RemotePort && s.DestinationPort == c.key.LocalPort && s.Source == *server && s.Destination == *client
}

// find returns the conversation of a segment, and adds it if the segment proves that it exists;
// else nil.
func (t *conversations) find(d event.Direction, s *frame.Segment, now int64) *conversation {
	port := s.SourcePort
	if d == event.Reply {
		port = s.DestinationPort
	}
	recent := &t.recent[port%recents]
	if c := *recent; c != nil && c.has(s, d) && !c.gone && !c.reopening {
		return c
	}
	c := t.lookUp(d, s, now)
	*recent = c
	return c
}

// lookUp is find for a conversation that is not in the cache.
func (t *conversations) lookUp(d event.Direction, s *frame.Segment, now int64) *conversation {
	key := keyOf(s, d)
	c := t.table[key]
	if c != nil && !c.reopening {
		return c
	}
	if o, found := t.opening[key]; found && s.Flags&frame.RST == 0 && s.Seq-o.offsets[d] < 1<<30 {
		delete(t.opening, key)
		c = t.open(c, key, o, now)
		c.seen[event.Reply] = true // its SYN
		return c
	}
	if first, found := t.syns[key]; found && d == event.Request && s.Flags&(frame.RST|frame.ACK) == frame.ACK {
		o := opening{[2]uint32{event.Request: s.Seq, event.Reply: s.Ack}}
		if replies, found := t.answers[o]; found && replies != key {
			return t.openHalves(key, replies, o, now)
		}
		if s.Seq == first.offset && (c == nil || c.root().removeAt != 0 && !(c.opened && c.start == o)) {
			return t.open(c, key, o, now) // the answer to the SYN comes later, or never
		}
	}
	if c == nil && s.Flags&frame.RST == 0 && uint64(len(s.Payload))+uint64(s.Missing) > 1 { // a single byte may be a keep-alive, which repeats an old one
		return t.add(key, now)
	}
	return c
}

// isOver reports whether a segment with payload must belong to a later connection between the same
// ports, whose beginning was not seen. In a capture that has gone back in time since, old offsets
// are repetitions instead.
func (c *conversation) isOver(st *stream, s *frame.Segment, steps int) bool {
	if !st.known || c.steps != steps || uint64(len(s.Payload))+uint64(s.Missing) <= 1 || s.Flags&frame.RST != 0 {
		return false
	}
	off := int32(s.Seq - st.end)
	switch {
	case off < -plausible:
		return true
	case c.closed: // by a reset; segments in flight may follow it
		return off > plausible
	}
	return off > 0 && st.finished
}

// add adds a conversation in mid-stream.
func (t *conversations) add(key event.Endpoints, now int64) *conversation {
	if len(t.table) >= maxConversations {
		t.evict(now)
	}
	t.ids++
	t.added++
	c := &conversation{key: key, id: t.ids, steps: t.steps}
	c.role, _ = t.roleOf(&key)
	c.endpoints = key
	if c.role == event.Server {
		c.endpoints = swap(&key)
	}
	t.table[key] = c
	return c
}

// evict removes the least recently active of a few conversations. Its next segment adds it again,
// in mid-stream.
func (t *conversations) evict(now int64) {
	var idle *conversation
	left := evictCandidates
	for _, c := range t.table {
		if c = c.root(); idle == nil || c.active < idle.active { // a copy is not active itself
			idle = c
		}
		if left--; left == 0 {
			break
		}
	}
	t.lost.add(lostConversation, 1)
	t.discard(idle, now)
}

// discard removes a conversation whose end was not seen, and queues that.
func (t *conversations) discard(c *conversation, now int64) {
	switch {
	case c.closed || c.foreign:
	case c.removeAt != 0:
		t.close(c, now)
	default:
		c.closed = true
		t.life(c, event.Vanished, now)
	}
	t.remove(c)
}

func (t *conversations) remove(c *conversation) {
	c.gone = true
	t.forget(c)
	for _, copied := range c.copies {
		t.remove(copied)
	}
	if x := c.twin; x != nil && !x.gone {
		x.copies = slices.DeleteFunc(x.copies, func(copied *conversation) bool { return copied == c })
	}
	if way, one := c.oneWay(); one {
		t.oneWay[way]++
	}
	if t.table[c.key] == c {
		delete(t.table, c.key)
	}
}

// oneWay returns the only direction of which segments were seen, false if there is none or both.
func (c *conversation) oneWay() (d event.Direction, one bool) {
	if c.seen[event.Reply] {
		d = event.Reply
	}
	return d, c.twin == nil && c.seen[event.Request] != c.seen[event.Reply]
}
