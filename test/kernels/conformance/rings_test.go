package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testRings looks for the map of the per-CPU rings among those that the observer holds: for each CPU that is online two rings. Without
// them everything is counted all the same, at twice the cost.
func testRings(t *testing.T, o *observer) {
	const ring = 128 << 10
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", o.PID()))
	require.NoError(t, err)
	field := func(text []byte, name string) int {
		found := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)$`).FindSubmatch(text)
		if found == nil {
			return 0
		}
		n, _ := strconv.Atoi(string(found[1]))
		return n
	}
	var entries []int
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // closed meanwhile
		}
		if field(text, "value_size") > ring {
			entries = append(entries, field(text, "max_entries"))
		}
	}
	// The process may use all of them, and in a guest and on a virtual machine they are numbered without holes.
	assert.Equal(t, []int{2 * runtime.NumCPU()}, entries)
}
