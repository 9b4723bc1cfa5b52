package bpf

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestNextInterval(t *testing.T) {
	const ms, us = time.Millisecond, time.Microsecond
	for name, test := range map[string]struct{ interval, took, longest, next time.Duration }{
		"as it should be":               {3 * ms, drainTime, 5 * ms, 3 * ms},
		"twice the work":                {4 * ms, 2 * drainTime, 5 * ms, 2 * ms},
		"half the work":                 {2 * ms, drainTime / 2, 5 * ms, 4 * ms},
		"little work":                   {2 * ms, drainTime / 9, 5 * ms, 5 * ms},
		"much work":                     {5 * ms, 100 * ms, 5 * ms, minInterval},
		"another thread":                {2 * ms, -time.Hour, 5 * ms, 5 * ms},
		"no time at all":                {2 * ms, 0, 5 * ms, 5 * ms},
		"shorter than can be waited":    {100 * us, drainTime, 100 * us, 100 * us},
		"the longest that may be set":   {time.Second, 2 * drainTime, time.Second, 500 * ms},
		"the end of a long drain":       {time.Second, 100 * ms, time.Second, minInterval},
		"what does not round to itself": {3 * ms, drainTime + 3*us, 5 * ms, 3 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.next, nextInterval(test.interval, test.took, test.longest))
		})
	}
}
