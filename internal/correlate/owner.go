package correlate

import "github.com/redis-observer/redis-observer/internal/event"

// tellsOwner reports whether events of a kind have an owner.
func tellsOwner(kind event.Kind) bool {
	return kind == event.Open || kind == event.Existing || kind == event.Owned || kind == event.ConnectFailed
}

// belong notes the owner that an event shows, and whether the address is to be resolved, which Owned
// does not tell. A complete one is never replaced by another, which
// knows less. What the connection completes from now on counts under it. It returns false if the
// connection is not observed any more, because its owner is left out.
func (c *conn) belong(e *event.Event) bool {
	knowsMore := e.Owner != nil && e.Owner != c.owner && (c.owner == nil || !c.owner.Complete)
	unnames := e.UserNamespace && !c.unnamed
	if !knowsMore && !unnames {
		return true
	}
	if knowsMore {
		c.owner = e.Owner
	}
	c.unnamed = c.unnamed || e.UserNamespace
	if !c.tracker.rename(c) {
		return false
	}
	c.stamp()
	return true
}
