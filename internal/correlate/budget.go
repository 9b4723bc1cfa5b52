package correlate

import "github.com/redis-observer/redis-observer/internal/capture"

// resource is something of which all connections together may only have so much.
type resource uint8

const (
	places    resource = iota // of FIFOs
	heldBytes                 // of chunks that wait for their turn
	resources
)

// budget shares a resource out. As long as there is enough, everyone gets what they ask for; when it is exhausted, the greatest
// holder of the greatest group gives what it has, unless the one who asks would be that itself. So nobody can take what others need
// for as much as an equal share, neither by one connection nor by many to one address.
type budget struct {
	resource    resource
	used, limit int
	floor       int         // what a connection may have in any case, and is not asked to give
	groups      heap[group] // by what their connections have, the greatest first
}

func newBudget(r resource, limit, floor int) budget {
	return budget{resource: r, limit: limit, floor: floor, groups: heap[group]{place: func(g *group) *int32 { return &g.ranks[r] }}}
}

// add notes that a connection has n more, or less.
func (b *budget) add(c *conn, n int) {
	r, g := b.resource, c.group
	b.used += n
	c.has[r] += n
	g.has[r] += n
	if holders := &g.holders[r]; c.has[r] > b.floor {
		holders.set(c, int64(-c.has[r]))
	} else {
		holders.remove(c)
	}
	if g.has[r] > 0 {
		b.groups.set(g, int64(-g.has[r]))
	} else {
		b.groups.remove(g)
	}
}

// fits reports whether a connection may have n more without anyone giving.
func (b *budget) fits(c *conn, n int) bool {
	return b.used+n <= b.limit || c.has[b.resource]+n <= b.floor
}

// giver returns the connection that has to give before another one may have n more; nil if it is for the other one to do without.
func (b *budget) giver(asks *conn, n int) *conn {
	r, own := b.resource, asks.group
	g, _ := b.groups.first()
	if g == nil {
		return nil
	}
	if g != own && g.has[r] <= own.has[r]+n {
		g = own
	}
	c, _ := g.holders[r].first()
	if c == asks || c != nil && g == own && c.has[r] < asks.has[r]+n {
		return nil
	}
	return c
}

// address is the server's end of a connection.
type address struct {
	ip   [16]byte
	port uint16
}

// group is the connections to one address.
type group struct {
	address address
	size    int // connections
	has     [resources]int
	holders [resources]heap[conn] // those that have more than the floor, the greatest first
	ranks   [resources]int32      // places in the budgets' heaps
}

func newGroup(a address) *group {
	g := &group{address: a}
	for r := range g.holders {
		g.holders[r].place = holderPlace[r]
	}
	return g
}

var holderPlace = [resources]func(*conn) *int32{
	func(c *conn) *int32 { return &c.ranks[places] },
	func(c *conn) *int32 { return &c.ranks[heldBytes] },
}

// addressOf returns the address of the server's end.
func addressOf(role capture.Role, e *capture.Endpoints) address {
	if role == capture.Client {
		return address{e.Remote, e.RemotePort}
	}
	return address{e.Local, e.LocalPort}
}
