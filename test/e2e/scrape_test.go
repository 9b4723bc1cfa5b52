package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// A scrape has all that happened before it, however long the observer would have waited before it read its buffer.
func TestScrapeIsNotLate(t *testing.T) {
	RequireProbes(t, "packets wait in the kernel for milliseconds")
	r := mustRedis(t)
	o := mustObserver(t, observing(r.Port)+"capture: {flush_interval: 1s}\n")
	c := mustDial(t, r.Address())
	for i := range 50 {
		c.mustDo("INCR", "counter")
		if seen := o.mustScrape().commands("default")["incr"]; !assert.Equal(t, i+1, seen) {
			break
		}
	}
}
