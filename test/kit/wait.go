package kit

import "time"

// Between two looks of Wait passes a twentieth of the time that it has waited, within these bounds: a look may be a scrape, which costs
// both ends milliseconds, and tests that wait at the same time would leave little of a core to what they wait for.
const shortestPause, longestPause = 20 * time.Millisecond, 200 * time.Millisecond

// Wait looks until something holds, and reports whether it did within the limit.
func Wait(limit time.Duration, holds func() bool) bool {
	for began := time.Now(); ; {
		if holds() {
			return true
		}
		waited := time.Since(began)
		if waited > limit {
			return false
		}
		time.Sleep(min(max(waited/20, shortestPause), longestPause))
	}
}
