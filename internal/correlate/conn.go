package correlate

import (
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate/reorder"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/parser"
)

// mode is what a connection is taken for.
type mode uint8

const (
	paired  mode = iota // in step: one reply answers the oldest command
	lost                // out of step, see resync.go
	replica             // requests have no reply, what the server sends is a stream of commands
	foreign             // encrypted or not Redis, or at its end: nothing is read any more
)

// conn is the state of one connection.
type conn struct {
	tracker   *Tracker
	pool      *pool
	group     *group
	id        uint64
	has       [seats]int32 // of what all connections share
	member    int32        // place among the group's connections
	ranks     [seats]int32 // places in the group's heaps,
	richRank  int32        // and in that of slots,
	waitRank  int32        // and in the tracker's
	identity  identity.ID
	endpoints event.Endpoints
	role      event.Role
	use       use
	mode      mode
	active    int64  // the latest time of its events
	ending    uint32 // in which period an end closed its stream, 0 for none (endings.go)
	reach     event.Reach

	buffers    [2]reorder.Buffer // by event.Direction
	requests   parser.RequestStream
	replies    parser.ReplyStream
	pending    fifo
	tx         transaction
	sub        subscriptions
	resync     resync
	probation  probation
	unreadable unread
	preface    parser.Preface // what stands before the first request
	proxied    int64          // when a line of the PROXY protocol passed that the server may complain about; 0: none, or it has answered since
	banner     int64          // when the server spoke first, in a way that no Redis server does; 0: never
	like       pending        // the last request, if repeatable
	started    int64          // time of the chunk in which the current request begins
	replying   int64          // time of the chunk of replies being read

	proto     uint8 // 2 or 3
	silence   silence
	closing   Reason // why the connection is ending; NoReason while it is not
	left      uint8  // bytes that the client left unread, as of event.Event.Unread
	cut       bool   // it was reset by the other end, or broken
	closed    int64  // since when it is ending
	passed    uint64 // bytes of requests since it is deaf
	unasked   uint32 // replies before the first request that have not been counted yet
	replyEnd  uint32 // where the reply stream ends, if ends
	ends      bool
	opening   bool // its streams have begun before it was established (TCP Fast Open)
	seen      bool // its beginning was seen, or anything of its streams
	unknown   bool // its history is not known: it may be subscribed, monitoring or in a transaction
	spoke     bool // the client showed RESP, or the server did
	replied   bool // the server did
	asked     bool // it sent a request
	deaf      bool // the server reads no more requests
	killed    bool // the last reply was that of a CLIENT KILL: should the server close now, the connection killed itself
	monitors  bool
	quietAcks bool // a subscription was silenced: its acknowledgements may come all the same
	header    bool // the frame being read is the header of EXEC's reply
	awaited   bool // something was outstanding when the frame being read began
	released  bool // the frame being read began when letGo was set,
	blind     bool // or when a request was not read to its end
	doubting  bool // the oldest command is to get no reply, and whether the server obeys is not known yet
	believing bool // it does
	undecided bool // a held error may be its refusal, or answer a request that has not been read yet
	letGo     bool // a held reply is being released: what answers nothing is dropped
	outdated  bool // the replies being read are older than the oldest request, and do not answer it
	gone      bool // established no more

	fresh      bool // nothing of its request stream has been read, which will be seen from its first byte
	repeatable bool // a request that begins like the last one is like it in everything
}

// event takes one event of the connection.
func (c *conn) event(e *event.Event) {
	c.active = max(c.active, e.Time) // that of a send is when its call began
	switch e.Kind {
	case event.Data:
		c.sift(e)
		c.arrive(e.Direction, &reorder.Segment{Seq: e.Seq, Len: uint32(len(e.Data)), Data: e.Data, Time: e.Time, Reason: e.Reason})
	case event.Gap:
		c.sift(e)
		c.arrive(e.Direction, &reorder.Segment{Seq: e.Seq, Len: e.Len, Reason: e.Reason, Time: e.Time})
	case event.Open:
		c.reach = e.Reach
		c.open(e)
	case event.Existing:
		c.reach = e.Reach
		c.existing(e)
	case event.Opening:
		c.beginEarly(e)
	case event.OtherStream:
		if c.mode != foreign {
			c.unpaired(Missing, c.forgetPending())
			c.recognise(kindOf[e.Stream])
		}
		c.sift(e)
	case event.HalfClosed, event.PeerClosed:
		c.halfClose(e)
	case event.Closed:
		c.close(e)
		return
	case event.Vanished:
		c.loseEnd()
		return
	}
	c.seen = true
	c.checkEnd()
	c.settleUse()
}

// beginEarly begins a connection of which payload passes before it is established. What the server sends begins when it is.
func (c *conn) beginEarly(e *event.Event) {
	if c.seen {
		return
	}
	c.buffers[event.Request].Start(e.Seq)
	if c.role == event.Server {
		c.buffers[event.Reply].Start(e.ReplySeq)
	}
	c.mode, c.unknown, c.opening = paired, false, true
}

// open begins a connection that is seen from its first byte.
func (c *conn) open(e *event.Event) {
	if c.opening {
		c.opening = false
		if b := &c.buffers[event.Reply]; !b.Started() {
			b.Start(e.ReplySeq)
		}
		return
	}
	c.buffers[event.Request].Start(e.Seq)
	c.buffers[event.Reply].Start(e.ReplySeq)
	c.mode, c.unknown, c.fresh = paired, false, true
}

// existing notes where a connection in mid-stream goes on. Nothing has been heard of it since: its silence begins here.
func (c *conn) existing(e *event.Event) {
	if c.seen {
		c.compare(e)
		return
	}
	if !e.Unplaced {
		c.buffers[event.Request].Start(e.Seq)
		c.buffers[event.Reply].Start(e.ReplySeq)
	}
	last := event.Reply
	if e.Awaited {
		last = event.Request
	}
	c.resync = newResync(MidStream, last, e.Time)
}

// midStream is the state of a connection of which nothing is known but that it was silent since a time. If that is long enough, what it says first is
// the whole answer or the only request: a client that awaited a reply would have to wait for it.
func (c *conn) midStream(now, since int64) {
	c.mode, c.unknown, c.proto = lost, true, 2
	c.resync = newResync(MidStream, event.Request, now)
	if now-since >= int64(c.tracker.options.Quiet) {
		c.resync = newResync(MidStream, event.Reply, since)
	}
}

// lose puts the connection out of step by what passed in a direction at a time: nothing that is outstanding can be paired any more.
func (c *conn) lose(reason Reason, d event.Direction, time int64) {
	c.unpaired(reason, c.forgetPending())
	c.replies.Reset()
	c.mode, c.unknown, c.silence, c.repeatable, c.fresh = lost, true, answering, false, false
	c.resync = newResync(reason, d, time)
	if reason == Missing && d == event.Request {
		c.requests.Reset()
		return
	}
	c.resync.follows = true // the rest of the requests can be counted
}

// forgetPending empties the FIFO and the transaction, and returns how many commands they held.
func (c *conn) forgetPending() uint32 {
	n := c.pending.count + c.tx.queue.count
	c.doubting = false
	c.pending.clear(&c.tracker.slots)
	c.tx.end(&c.tracker.slots)
	return n
}

// recognise gives a connection up as one of a kind that is not read.
func (c *conn) recognise(kind ConnectionKind) {
	c.tracker.stats.connections[kind].Add(1)
	c.tracker.stats.dropped.Add(uint64(c.forgetPending()))
	c.release()
	c.mode = foreign
}

// heardServer notes that the server showed RESP.
func (c *conn) heardServer() {
	if !c.replied {
		c.spoke, c.replied = true, true
		c.tracker.stats.connections[KindRedis].Add(1)
	}
}

// release gives back what the connection holds.
func (c *conn) release() {
	c.doubting = false
	c.pending.release(&c.tracker.slots)
	c.tx.queue.release(&c.tracker.slots)
	c.clearHeld()
}

// settleUse puts the connection into the gauge that its state asks for.
func (c *conn) settleUse() {
	switch {
	case c.gone:
		c.setUse(notPooled)
	case c.busy():
		c.setUse(inUse)
	default:
		c.setUse(available)
	}
}

// busy reports whether anything is outstanding. Out of step it goes by which end was heard last.
func (c *conn) busy() bool {
	return c.pending.count > 0 || c.tx.queue.count > 0 || c.sub.any() || c.monitors || c.mode == replica ||
		c.mode == lost && c.resync.last == event.Request && c.seen
}

func (c *conn) setUse(u use) {
	if c.use == u {
		return
	}
	if c.use != notPooled {
		c.pool.count[c.use]--
	}
	if u != notPooled {
		c.pool.count[u]++
	}
	c.use = u
}

// emit reports the outcome of a command, or of n that are alike.
func (c *conn) emit(p *pending, n uint32, outcome Outcome, prefix command.Prefix, reason Reason, end int64) {
	t := c.tracker
	t.spill()
	last := len(t.out)
	t.out = append(t.out, Exchange{})
	x := &t.out[last]
	x.Identity, x.Command, x.Outcome, x.Prefix, x.Reason, x.Count = c.identity, p.command, outcome, prefix, reason, n
	x.Duration = max(0, end-p.time)
	if c.probation.stage != passed {
		c.probation.paired += n
	}
	if last > 0 && t.out[last-1].alike(x) {
		t.out[last-1].Count += n
		t.out = t.out[:last]
	}
}

// unpaired reports commands that will not be paired.
func (c *conn) unpaired(reason Reason, n uint32) {
	if n > 0 {
		c.tracker.spill()
		c.tracker.out = append(c.tracker.out, Exchange{Identity: c.identity, Outcome: Unpaired, Reason: reason, Count: n})
	}
}
