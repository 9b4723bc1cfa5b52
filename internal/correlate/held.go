package correlate

import "github.com/redis-observer/redis-observer/internal/correlate/reorder"

// heldBudget is the budget of the bytes that all reorder buffers hold.
type heldBudget struct {
	budget
	perBuffer reorder.Limits
}

func newHeldBudget(limit int, perBuffer reorder.Limits) heldBudget {
	return heldBudget{newBudget(heldBytes, limit, 0), perBuffer}
}

// grant reports whether a connection may hold n bytes more, for which others may have to give up
// theirs.
func (h *heldBudget) grant(c *conn, n int) bool {
	for !h.fits(c, n) {
		giver := h.giver(c, n)
		if giver == nil {
			return false
		}
		giver.dropHeld()
	}
	return true
}
