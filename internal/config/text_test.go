package config

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const whole = `# What is observed.
ports: [6380]
endpoints:
  - name: cache
    addresses: ["10.0.0.1:6379"]
  - name: queue
    addresses: ["10.0.0.2:6379"]
`

func TestCheckTruncated(t *testing.T) {
	const open = "ports: [6380]"
	lines := strings.SplitAfter(whole, "\n")
	tests := []struct{ name, running, next, want string }{
		{"the same", whole, whole, ""},
		{"emptied", whole, "", "has become empty"},
		{"comments only", whole, lines[0], "has become empty"},
		{"spaces only", whole, "\n \n", "has become empty"},
		{"emptied on purpose", whole, "{}\n", ""},
		{"empty before", "# nothing\n", "", ""},
		{"first contents", "", whole, ""},
		{"cut off behind ports", whole, lines[0] + lines[1], "cut off"},
		{"cut off behind the first endpoint", whole, strings.Join(lines[:5], ""), "cut off"},
		{"cut off in a line", whole, whole[:len(whole)-3], "cut off"},
		{"cut off, with other ends of lines", whole, strings.Join(lines[:5], "") + "\n", "cut off"},
		{"cut off on purpose", whole, strings.Join(lines[:5], "") + "...\n", ""},
		{"last line end lost", whole, strings.TrimSuffix(whole, "\n"), "has lost its line break"},
		{"written in part", whole, "ports: [6381]\nendpoints:\n  - name: cac", "has lost its line break"},
		{"no line end before either", open, "ports: [6381]", ""},
		{"last line end gained", open, open + "\n", ""},
		{"blank lines removed", whole + "\n\n", whole, ""},
		{"a comment removed", whole + "# the end\n", whole, ""},
		{"the first endpoint removed", whole, strings.Join(lines[:3], "") + strings.Join(lines[5:], ""), ""},
		{"grown", whole, whole + "default_name: x\n", ""},
		{"changed and shorter", whole, "ports: [6381]\n", ""},
		{"grown from an ending", lines[0] + lines[1] + "...\n", whole, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := CheckTruncated([]byte(test.running), []byte(test.next))
			if test.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, test.want)
		})
	}
	for n := range len(whole) - 1 {
		assert.Error(t, CheckTruncated([]byte(whole), []byte(whole[:n])), "cut off at %d", n)
	}
	assert.Equal(t, []int{6380}, mustLoad(t, lines[1]+"...\n").Ports, "the remedy is valid")
}

func TestNothingObserved(t *testing.T) {
	_, err := load(mustWrite(t, "ports: []\n"))
	assert.ErrorContains(t, err, "ports: no port to observe")
}

// Anything but a regular file is rejected at once.
func TestLoadWhatIsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "observer.yaml")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	_, err := load(path)
	assert.ErrorContains(t, err, "a FIFO")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, 200<<20))
	_, err = load(path)
	assert.ErrorContains(t, err, "is larger than")
	_, err = load(mustWrite(t, fmt.Sprintf("web_config: %s\n", filepath.Dir(path))))
	assert.ErrorContains(t, err, "web_config: ")
}

// A small file must not expand to a large value in memory.
func TestLoadBombs(t *testing.T) {
	doubling := "a: &a [x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'z'; c++ {
		doubling += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	bombs := map[string]string{
		"aliases":      doubling,
		"many values":  "ports: [" + strings.Repeat("1,", 500_000) + "1]\n",
		"many lines":   "ports:\n" + strings.Repeat("- 1\n", 260_000),
		"many aliases": "x: &x [" + strings.Repeat("1,", 100_000) + "]\nports: [" + strings.Repeat("*x,", 100) + "]\n",
		"itself":       "ports: &p [*p]\n",
		"deep":         "ports: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "\n",
	}
	for name, text := range bombs {
		t.Run(name, func(t *testing.T) {
			path := mustWrite(t, text)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := load(path)
			runtime.ReadMemStats(&after)
			assert.Error(t, err)
			assert.Less(t, len(err.Error()), 1000)
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%d MiB: %v", allocated, err)
			assert.Less(t, allocated, uint64(150))
		})
	}
}

// Ten thousand endpoints are a valid configuration.
func TestLoadManyEndpoints(t *testing.T) {
	var text strings.Builder
	text.WriteString("endpoints:\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "  - name: endpoint-%d\n    addresses: [\"10.0.%d.%d:6379\"]\n", i, i/250, i%250)
	}
	assert.Len(t, mustLoad(t, text.String()).Endpoints, 10_000)
}
