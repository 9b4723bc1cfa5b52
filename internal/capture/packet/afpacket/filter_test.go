package afpacket

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestFilterFits: the kernel rejects longer programs. The tests of package packet check on loopback
// which packets the filter selects.
func TestFilterFits(t *testing.T) {
	for _, ports := range []int{0, 1, maxFilterPorts, maxFilterPorts + 1, 65535} {
		list := make([]uint16, ports)
		interfaces := make([]int, 64)
		program, err := filter(list, interfaces, 1<<16)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(program), unix.BPF_MAXINSNS, ports)
	}
}
