package artefacts

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	root = "../../.."
	dist = root + "/dist"
)

// required is whether no test may skip.
var required = os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") != ""

// The observer takes variables with its prefix for keys of the configuration, and `check` calls this one a fault.
func TestMain(m *testing.M) {
	if err := os.Unsetenv("REDIS_OBSERVER_TEST_REQUIRE"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// mustFind returns the path of the one artefact that a pattern matches.
func mustFind(tb testing.TB, pattern string) string {
	tb.Helper()
	found, err := filepath.Glob(filepath.Join(dist, pattern))
	require.NoError(tb, err)
	require.Len(tb, found, 1, "%s in dist (make release)", pattern)
	path, err := filepath.Abs(found[0])
	require.NoError(tb, err)
	return path
}

// mustVersion returns the version of what is in dist.
func mustVersion(tb testing.TB) string {
	tb.Helper()
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(mustFind(tb, "redis-observer_*_linux_amd64.tar.gz")), "redis-observer_"), "_linux_amd64.tar.gz")
}

// requireRoot skips a test that cannot run, unless it is to run everywhere.
func requireRoot(tb testing.TB, programs ...string) {
	tb.Helper()
	reason := ""
	if os.Geteuid() != 0 {
		reason = "needs root"
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			reason = "needs " + program + " (test/install.sh release)"
		}
	}
	switch {
	case reason == "":
	case required:
		require.Fail(tb, reason)
	default:
		tb.Skip(reason)
	}
}

func mustOutput(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	output, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(tb, err, "%s %v: %s", name, args, output)
	return string(output)
}

func TestChecksums(t *testing.T) {
	text, err := os.ReadFile(mustFind(t, "SHA256SUMS"))
	require.NoError(t, err)
	entries, err := os.ReadDir(dist)
	require.NoError(t, err)
	listed := strings.Split(strings.TrimSpace(string(text)), "\n")
	assert.Len(t, listed, len(entries)-1, "every artefact has a checksum")
	for _, line := range listed {
		sum, name, found := strings.Cut(line, "  ")
		require.True(t, found, line)
		content, err := os.ReadFile(filepath.Join(dist, name))
		require.NoError(t, err)
		assert.Equal(t, sum, fmt.Sprintf("%x", sha256.Sum256(content)), name)
	}
}
