package conformance

import (
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

// testRings looks for the map of the per-CPU rings among those that the observer holds: for each CPU that is online two rings. Without
// them everything is counted all the same, at twice the cost.
func testRings(t *testing.T, o *observer) {
	const ring = 128 << 10
	field := func(text, name string) int {
		found := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)$`).FindStringSubmatch(text)
		if found == nil {
			return 0
		}
		n, _ := strconv.Atoi(found[1])
		return n
	}
	var entries []int
	for _, text := range mustDescribe(t, o.PID()) {
		if field(text, "value_size") > ring {
			entries = append(entries, field(text, "max_entries"))
		}
	}
	// The process may use all of them, and in a guest and on a virtual machine they are numbered without holes.
	assert.Equal(t, []int{2 * runtime.NumCPU()}, entries)
}
