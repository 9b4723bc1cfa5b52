package kit

import "time"

// pause is the time between two looks of Wait.
const pause = 20 * time.Millisecond

// Wait looks until something holds, and reports whether it did within the limit.
func Wait(limit time.Duration, holds func() bool) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(pause) {
		if holds() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
