package cgroup

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
)

func TestMemoryLimit(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"second version, of its own", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n"}, 256 << 20},
		{"a unit of systemd", map[string]string{
			"proc/self/cgroup": "0::/system.slice/redis-observer.service\n",
			"sys/fs/cgroup/system.slice/redis-observer.service/memory.max": "536870912\n",
			"sys/fs/cgroup/system.slice/memory.max":                        "max\n",
		}, 512 << 20},
		{"the one around is less", map[string]string{
			"proc/self/cgroup":                       "0::/pod/container\n",
			"sys/fs/cgroup/pod/container/memory.max": "max\n",
			"sys/fs/cgroup/pod/memory.max":           "1000\n",
		}, 1000},
		{"first version", map[string]string{
			"proc/self/cgroup": "5:cpu:/a\n4:hugetlb,memory:/a\n0::/\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "4096\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   "9223372036854771712\n",
		}, 4096},
		{"the path is the host's", map[string]string{
			"proc/self/cgroup":                           "4:memory:/docker/0123\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "8192\n",
		}, 8192},
		{"none", map[string]string{"proc/self/cgroup": "4:memory:/\n0::/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"max", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		{"nothing to read", map[string]string{}, 0},
		{"nonsense", map[string]string{"proc/self/cgroup": "0:\n\n::\n0::/../x\n", "sys/fs/cgroup/memory.max": "-1\n"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range test.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got, limited := MemoryLimit(root)
			assert.Equal(t, test.want > 0, limited)
			if limited {
				assert.Equal(t, test.want, got)
			}
		})
	}
}

func TestMemoryLimitOfThisProcess(t *testing.T) {
	if got, limited := MemoryLimit(os.DirFS("/")); limited {
		assert.Greater(t, got, int64(1<<20), "this test runs")
	}
}
