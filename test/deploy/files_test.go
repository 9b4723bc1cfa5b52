package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root       = "../.."
	deployRoot = root + "/deploy"
)

func mustRead(tb testing.TB, path ...string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	require.NoError(tb, err)
	return text
}

func mustOutput(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	output, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(tb, err, "%s %v: %s", name, args, output)
	return string(output)
}

// buildOnce is the observer, built as for a release.
var buildOnce = sync.OnceValues(func() (string, error) {
	path, err := filepath.Abs(root + "/.cache/deploy/redis-observer")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/redis-observer")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	return path, build.Run()
})

// mustBuild returns the path of the observer; REDIS_OBSERVER_BINARY names another one than the one that is built here.
func mustBuild(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("REDIS_OBSERVER_BINARY"); path != "" {
		return path
	}
	path, err := buildOnce()
	require.NoError(tb, err)
	return path
}

// requireRoot skips a test that cannot run, unless it is to run everywhere.
func requireRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REDIS_OBSERVER_TEST_REQUIRE") != "" {
		require.Fail(tb, "this test needs root")
	}
	tb.Skip("needs root")
}

// prometheusPrograms is where prometheus and promtool are.
func prometheusPrograms(tb testing.TB) string {
	tb.Helper()
	output, err := exec.Command("./prometheus.sh", root+"/.cache/prometheus").Output()
	require.NoError(tb, err)
	return string(output[:len(output)-1])
}
