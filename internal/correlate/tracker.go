package correlate

import (
	"math"
	"time"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/correlate/reorder"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
)

// Options configure a Tracker. A limit of zero is its default.
type Options struct {
	// Commands is the table of commands; nil is the built-in one.
	Commands *command.Table
	// Resolve returns the identity that a connection counts under, or false if the connection is
	// not to be observed.
	Resolve func(role event.Role, e *event.Endpoints) (identity.ID, bool)
	// Unnamed is Resolve for connections to an address that an unprivileged user may have chosen
	// (event.Event.UserNamespace). Nil: Resolve is for all.
	Unnamed func(role event.Role, e *event.Endpoints) (identity.ID, bool)
	// Label returns the identity that stands for another one together with an owner and an end of a
	// connection. Nil: they are the same.
	Label func(id identity.ID, role event.Role, e *event.Endpoints, owner *event.Owner) identity.ID
	// Ignored returns what of an owner decides that a connection, which Resolve observes, is left out.
	// The owner is nil if nothing is known of it. Nil: no owner is left out.
	Ignored func(owner *event.Owner) event.Trait
	// Spill takes the Exchanges of one event whenever there are many; Track returns the rest. It
	// must not keep the slice. Nil: Track returns all.
	Spill func([]session.Exchange)
	// Slow takes each exchange that took SlowFrom or longer, unless it waits by its nature, with its
	// end of the connection and what is known of the owner, nil for nothing. It must keep none of
	// the pointers. Not used if SlowFrom is 0.
	Slow     func(x *session.Slow, role event.Role, e *event.Endpoints, owner *event.Owner)
	SlowFrom time.Duration
	// Life takes each step in the life of a connection. Nil: nobody does.
	Life func(Life)
	// Wait takes how long requests or replies lay in the socket before they were read. Nil: nobody
	// does.
	Wait func(Wait)
	// Sockets: the events are those of sockets, which deliver no byte twice. Bytes at an offset
	// that has passed, and was not given up as missing, count as a gap (event.Repeated) and desync
	// the connection. Packets are sent again.
	Sockets bool
	// HoldFor is how long a segment waits for missing bytes, or a reply for its request, in time of
	// the events. Default 50 ms.
	HoldFor time.Duration
	// Quiet is how long a drained connection must have been silent for its next request to be a
	// boundary. Default 50 ms.
	Quiet time.Duration
	// MaxConnections bounds the connections tracked, and those remembered as not observed. Default
	// 262,144.
	MaxConnections int
	// MaxOutstanding bounds the commands that await their outcome, of one connection and of all; of
	// all, a run of equal ones counts once. Default 1,048,576 and 2,097,152.
	MaxOutstanding, MaxOutstandingTotal int
	// MaxHeld bounds the bytes in one reorder buffer and in all. Default 256 KiB and 64 MiB.
	MaxHeld, MaxHeldTotal int
	// MaxSegments bounds the segments in one reorder buffer. Default 64; packets are smaller than
	// the writes of a program and need more.
	MaxSegments int
}

func (o *Options) setDefaults() {
	if o.Commands == nil {
		o.Commands = command.Builtin()
	}
	defaultTo(&o.HoldFor, 50*time.Millisecond)
	defaultTo(&o.Quiet, 50*time.Millisecond)
	defaultTo(&o.MaxConnections, 1<<18)
	defaultTo(&o.MaxOutstanding, 1<<20)
	defaultTo(&o.MaxOutstandingTotal, 1<<21)
	defaultTo(&o.MaxHeld, 256<<10)
	defaultTo(&o.MaxHeldTotal, 64<<20)
	defaultTo(&o.MaxSegments, 64)
}

func defaultTo[T int | time.Duration](value *T, fallback T) {
	if *value == 0 {
		*value = fallback
	}
}

// Tracker follows all connections. See the package comment for what may be called from where.
type Tracker struct {
	options Options
	gate    event.Gate // nil if the source is none
	conns   map[uint64]*conn
	recent  [recents]*conn    // those of conns that were last found, by a hash of the identity: look-ups spared
	ignored map[uint64]origin // connections that Resolve refused, or of an owner that is left out
	groups  map[address]*group
	waiting heap[conn] // connections that hold segments, by when they give up waiting
	wake    int64      // when the first of them does
	since   int64      // since when every connection is observed: one that is added now was silent since then
	slots   slots
	held    heldBudget
	table   budget
	pools   pools
	endings endings
	suspect suspicion
	took    map[*conn]int64 // how long it took to connect, of those that are uncounted
	shaking map[*conn]*handshake
	stats   counters
	shared  session.Shared // what the sessions have in common; its Now is the tracker's clock
	errands [errands]*errand
	errant  bool                   // there are errands
	keeps   func(identity.ID) bool // of the errand renaming: which identities stay; nil for none
}

// recents is how many connections are found without a look-up at best: 2^recentBits.
const (
	recentBits = 10
	recents    = 1 << recentBits
)

// recentOf returns the place of a connection among the recent ones.
func (t *Tracker) recentOf(id uint64) **conn {
	const golden = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio: identities are addresses, which differ in few bits
	return &t.recent[id*golden>>(64-recentBits)]
}

// known returns the connection that is tracked under an identity, nil if there is none.
func (t *Tracker) known(id uint64) *conn {
	recent := t.recentOf(id)
	if c := *recent; c != nil && c.id == id {
		return c
	}
	*recent = t.conns[id]
	return *recent
}

// origin is what is known of a connection before anything of it is read.
type origin struct {
	endpoints event.Endpoints
	role      event.Role
	reach     event.Reach
	unnamed   bool // the address is not to be resolved: Options.Unnamed
	owner     *event.Owner
}

// originOf returns the origin of the connection of an event.
func originOf(e *event.Event) origin {
	o := origin{endpoints: e.Endpoints, role: e.Role, reach: e.Reach, unnamed: e.UserNamespace}
	if tellsOwner(e.Kind) {
		o.owner = e.Owner
	}
	return o
}

// resolve returns the identity that a connection counts under, or false if it is not observed, and
// whether the owner decides that.
func (t *Tracker) resolve(o *origin) (identity.ID, event.Trait, bool) {
	resolve := t.options.Resolve
	if o.unnamed && t.options.Unnamed != nil {
		resolve = t.options.Unnamed
	}
	id, ok := resolve(o.role, &o.endpoints)
	if !ok {
		return 0, event.NoTrait, false
	}
	if t.options.Ignored != nil {
		if decides := t.options.Ignored(o.owner); decides != event.NoTrait {
			return 0, decides, false
		}
	}
	if t.options.Label != nil {
		id = t.options.Label(id, o.role, &o.endpoints, o.owner)
	}
	return id, event.NoTrait, true
}

// New returns a Tracker without connections.
func New(options Options) *Tracker {
	options.setDefaults()
	return &Tracker{
		options: options,
		conns:   make(map[uint64]*conn),
		groups:  make(map[address]*group),
		waiting: heap[conn]{place: func(c *conn) *int32 { return &c.share.waitRank }},
		ignored: make(map[uint64]origin),
		took:    make(map[*conn]int64),
		shaking: make(map[*conn]*handshake),
		endings: endings{period: 1},
		wake:    math.MaxInt64,
		slots:   newSlots(options.MaxOutstandingTotal),
		held:    newHeldBudget(options.MaxHeldTotal, reorder.Limits{Cost: options.MaxHeld, Segments: options.MaxSegments}),
		table:   newBudget(seats, options.MaxConnections, 0),
		shared: session.Shared{
			Commands:       options.Commands,
			Sockets:        options.Sockets,
			MaxOutstanding: options.MaxOutstanding,
			Quiet:          int64(options.Quiet),
			SlowFrom:       int64(options.SlowFrom),
			Waits:          options.Wait != nil,
			Now:            math.MinInt64,
			Out:            session.Exchanges{Spill: options.Spill},
		},
	}
}

// expirations is for how many connections at most one event gives up waiting: others must not be
// delayed by many that do so at the same time.
const expirations = 64

// Track takes one event and returns the Exchanges that it completed. The next call reuses the
// slice.
func (t *Tracker) Track(e *event.Event) []session.Exchange {
	out := &t.shared.Out
	out.List = out.List[:0]
	if t.shared.Now == math.MinInt64 {
		t.since = e.Time
	}
	t.shared.Now = max(t.shared.Now, e.Time)
	if t.shared.Now >= t.wake {
		t.expire()
	}
	if t.errant {
		t.run(stepsFor(e.Kind))
	}
	switch e.Kind {
	case event.Tick:
		t.slots.relax(t.shared.Now)
		t.pools.publish()
		return out.List
	case event.Listed:
		t.sweep(e.Time)
		t.pools.publish()
		return out.List
	case event.ConnectFailed:
		t.connectFailed(e)
		return out.List
	}
	if c := t.find(e); c != nil {
		c.stamp()
		c.event(e)
	}
	return out.List
}

// Flush gives up waiting for anything that is held: a replay calls it at its end. The next call
// reuses the slice.
func (t *Tracker) Flush() []session.Exchange {
	t.shared.Out.List = t.shared.Out.List[:0]
	for c, _ := t.waiting.first(); c != nil; c, _ = t.waiting.first() {
		c.flush()
		c.settleUse()
		t.waiting.remove(c)
	}
	for _, c := range t.conns {
		c.session.CountUnasked()
	}
	t.wake = math.MaxInt64
	t.pools.publish()
	return t.shared.Out.List
}

// Outstanding returns how many commands await their outcome. It is for the goroutine that calls
// Track.
func (t *Tracker) Outstanding() int {
	n := 0
	for _, c := range t.conns {
		n += int(c.session.Outstanding())
	}
	return n
}

// find returns the connection of an event, a new one if need be, or nil if it is not observed.
func (t *Tracker) find(e *event.Event) *conn {
	if c := t.known(e.Conn); c != nil {
		if c.endpoints.Equal(&e.Endpoints) && !(e.Kind == event.Open && c.seen && !c.opening) {
			return c
		}
		c.loseEnd()
	}
	if o, ok := t.ignored[e.Conn]; ok {
		if o.endpoints == e.Endpoints && e.Kind != event.Closed && e.Kind != event.Vanished {
			if !tellsOwner(e.Kind) || t.staysIgnored(e, o) {
				t.turnAway(e)
				return nil
			}
		}
		delete(t.ignored, e.Conn)
	}
	switch e.Kind {
	case event.HalfClosed, event.PeerClosed, event.Ending, event.Closed, event.Vanished:
		return nil // the end of a connection without any other event
	}
	return t.add(e.Conn, originOf(e))
}

// add begins to track a connection, or to ignore it.
func (t *Tracker) add(id uint64, o origin) *conn {
	who, decides, ok := t.resolve(&o)
	if !ok {
		t.ignore(id, o, decides)
		return nil
	}
	group := t.groupOf(o.role, &o.endpoints)
	if t.table.used >= t.table.limit {
		t.evict(group)
	}
	c := &conn{tracker: t, id: id, origin: o, pool: t.pools.of(who)}
	c.share.group = group
	c.session.Init(&t.shared, c, o.role, t.since)
	group.join(c)
	t.groups[group.address] = group // unless it was there, or has just lost its last connection
	t.table.add(c, 1)
	t.conns[id] = c
	c.pool.carriers++
	t.stats.tracked.Store(uint64(len(t.conns)))
	return c
}

// ignore remembers a connection as not observed, and counts it if its owner decides that.
func (t *Tracker) ignore(id uint64, o origin, decides event.Trait) {
	t.stats.ignored[decides].Add(1)
	if len(t.ignored) >= t.options.MaxConnections {
		for other := range t.ignored { // any one: it is looked up again when it shows up
			delete(t.ignored, other)
			t.readmit(other)
			break
		}
	}
	t.ignored[id] = o
}

// staysIgnored notes the owner that an event shows of a connection that is not observed. It returns
// false if the connection is to be observed from now on: another one has begun on its socket.
func (t *Tracker) staysIgnored(e *event.Event, o origin) bool {
	shown := originOf(e)
	if e.Kind == event.Existing && o.owner != nil && o.owner.Complete { // a listing knows less
		shown.owner = o.owner
	}
	if e.Kind == event.Owned {
		shown.unnamed = o.unnamed
	}
	if _, _, ok := t.resolve(&shown); ok {
		t.readmit(e.Conn)
		return false
	}
	t.ignored[e.Conn] = shown
	return true
}

// remove ends the tracking of a connection.
func (t *Tracker) remove(c *conn) {
	c.session.CountUnasked()
	c.session.Release()
	if t.options.Sockets {
		c.countOpened()
	}
	c.forgetOpened()
	c.clearHeld()
	c.gone = true
	t.endings.end(c)
	c.setUse(notPooled)
	c.endHandshake()
	if t.conns[c.id] == c {
		delete(t.conns, c.id)
		c.pool.carriers--
		t.table.add(c, -1)
		if c.share.group.leave(c); len(c.share.group.conns) == 0 {
			delete(t.groups, c.share.group.address)
		}
	}
	if recent := t.recentOf(c.id); *recent == c {
		*recent = nil
	}
	t.stats.tracked.Store(uint64(len(t.conns)))
}

// smallGroup is how many connections to one address are not many: where no group has more, any idle
// connection is evicted.
const smallGroup = 64

// evict removes an idle connection of the greatest group, to make room for one more of a group.
func (t *Tracker) evict(asks *group) {
	var idle *conn
	if g := t.table.greatest(asks, 1); g.has[seats] > smallGroup {
		idle = g.idle()
	} else {
		idle = t.idle()
	}
	t.stats.evicted.Add(1)
	idle.abandon(session.Evicted)
}

// idle returns the connection of a few that has been silent for longest.
func (t *Tracker) idle() (idle *conn) {
	left := candidates
	for _, c := range t.conns {
		if idle == nil || c.active < idle.active {
			idle = c
		}
		if left--; left == 0 {
			break
		}
	}
	return idle
}

// wait watches the deadline of a connection that holds segments.
func (t *Tracker) wait(c *conn, deadline int64) {
	t.wake = min(t.wake, deadline)
	if first, waits := t.waiting.key(c); !waits || deadline < first {
		t.waiting.set(c, deadline)
	}
}

// expire releases the segments that were held too long.
func (t *Tracker) expire() {
	for range expirations {
		c, deadline := t.waiting.first()
		if c == nil || deadline > t.shared.Now {
			break
		}
		t.waiting.remove(c)
		if next := c.expire(); next != math.MaxInt64 {
			t.waiting.set(c, next)
		}
		c.settleUse()
	}
	t.wake = math.MaxInt64
	if c, deadline := t.waiting.first(); c != nil {
		t.wake = deadline
	}
}

// groupOf returns the group of a connection, a new one if there is none to its address.
func (t *Tracker) groupOf(role event.Role, e *event.Endpoints) *group {
	a := addressOf(role, e)
	g := t.groups[a]
	if g == nil {
		g = newGroup(a)
	}
	return g
}
