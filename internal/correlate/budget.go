package correlate

import "github.com/redis-observer/redis-observer/internal/event"

// resource is something that is bounded for all connections together.
type resource uint8

const (
	places    resource = iota // of FIFOs
	heldBytes                 // of segments in reorder buffers
	seats                     // in the table of connections, of which each takes one
	resources
)

// budget shares out a resource. As long as there is enough, every request is granted. When it is
// exhausted, the greatest holder of the greatest group gives up its share, unless that would be the
// connection that asks. So neither one connection nor many to one address can take so much that
// others get less than an equal share.
type budget struct {
	resource    resource
	used, limit int
	floor       int         // a connection may have so much in any case, and need not give it up
	groups      heap[group] // by the sum of their connections, the greatest first
}

func newBudget(r resource, limit, floor int) budget {
	return budget{resource: r, limit: limit, floor: floor, groups: heap[group]{place: func(g *group) *int32 { return &g.ranks[r] }}}
}

// add notes that a connection has n more, or less.
func (b *budget) add(c *conn, n int) {
	r, g := b.resource, c.share.group
	b.used += n
	g.has[r] += n
	if r < seats {
		c.share.has[r] += int32(n)
		if holders := &g.holders[r]; int(c.share.has[r]) > b.floor {
			holders.set(c, -int64(c.share.has[r]))
		} else {
			holders.remove(c)
		}
	}
	if g.has[r] > 0 {
		b.groups.set(g, int64(-g.has[r]))
	} else {
		b.groups.remove(g)
	}
}

// fits reports whether a connection may have n more without anyone giving.
func (b *budget) fits(c *conn, n int) bool {
	return b.used+n <= b.limit || int(c.share.has[b.resource])+n <= b.floor
}

// giver returns the connection that has to give before another one may have n more; nil if it is
// for the other one to do without.
func (b *budget) giver(asks *conn, n int) *conn {
	r := b.resource
	g := b.greatest(asks.share.group, n)
	c, _ := g.holders[r].first()
	if c == asks || c != nil && g == asks.share.group && int(c.share.has[r]) < int(asks.share.has[r])+n {
		return nil
	}
	return c
}

// greatest returns the group that would have the most if one of them had n more.
func (b *budget) greatest(asks *group, n int) *group {
	if g, _ := b.groups.first(); g != nil && g.has[b.resource] > asks.has[b.resource]+n {
		return g
	}
	return asks
}

// share is how much a connection has of each resource, and its places in the tracker's heaps.
type share struct {
	group    *group
	has      [seats]int32 // of each resource but seats
	ranks    [seats]int32 // places in the group's heaps,
	richRank int32        // in that of slots,
	waitRank int32        // and in the tracker's
	member   int32        // place among the group's connections
}

// address is the server's end of a connection.
type address struct {
	ip   [16]byte
	port uint16
}

// group is the connections to one address.
type group struct {
	address address
	conns   []*conn
	hand    int // where among them the next idle one is looked for
	has     [resources]int
	holders [seats]heap[conn] // those that have more than the floor, the greatest first
	ranks   [resources]int32  // places in the budgets' heaps
}

func newGroup(a address) *group {
	g := &group{address: a}
	for r := range g.holders {
		g.holders[r].place = holderPlace[r]
	}
	return g
}

var holderPlace = [seats]func(*conn) *int32{
	func(c *conn) *int32 { return &c.share.ranks[places] },
	func(c *conn) *int32 { return &c.share.ranks[heldBytes] },
}

// join adds a connection.
func (g *group) join(c *conn) {
	c.share.member = int32(len(g.conns))
	g.conns = append(g.conns, c)
}

// leave removes a connection.
func (g *group) leave(c *conn) {
	end := len(g.conns) - 1
	last := g.conns[end]
	g.conns[c.share.member], last.share.member = last, c.share.member
	g.conns[end] = nil
	g.conns = g.conns[:end]
}

// candidates is how many connections are compared to find an idle one: enough to make it likely,
// few enough to be cheap.
const candidates = 8

// idle returns the connection of a few, other ones each time, that has been silent for longest.
func (g *group) idle() *conn {
	var idle *conn
	for range min(candidates, len(g.conns)) {
		g.hand = (g.hand + 1) % len(g.conns)
		if c := g.conns[g.hand]; idle == nil || c.active < idle.active {
			idle = c
		}
	}
	return idle
}

// addressOf returns the address of the server's end.
func addressOf(role event.Role, e *event.Endpoints) address {
	if role == event.Client {
		return address{e.Remote, e.RemotePort}
	}
	return address{e.Local, e.LocalPort}
}
