package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const unit = "/systemd/redis-observer.service"

func TestSystemdUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		require.Empty(t, os.Getenv("REDIS_OBSERVER_TEST_REQUIRE"), "systemd-analyze is not installed")
		t.Skip("systemd-analyze is not installed")
	}
	// The program must exist where the unit says it is, so the copy says where it is here.
	text := strings.ReplaceAll(string(mustRead(t, deployRoot, unit)), "/usr/local/bin/redis-observer", mustBuild(t))
	copied := filepath.Join(t.TempDir(), "redis-observer.service")
	require.NoError(t, os.WriteFile(copied, []byte(text), 0o600))
	assert.Empty(t, mustOutput(t, analyze, "verify", "--man=no", copied), "systemd warns of nothing")
	// 0 is wholly confined, 10 not at all. What remains is the network, and the two capabilities.
	mustOutput(t, analyze, "security", "--offline=true", "--threshold=25", copied)
}

func TestSystemdCapabilities(t *testing.T) {
	text := string(mustRead(t, deployRoot, unit))
	for _, line := range []string{"AmbientCapabilities=CAP_BPF CAP_PERFMON", "CapabilityBoundingSet=CAP_BPF CAP_PERFMON", "DynamicUser=yes", "Type=notify"} {
		assert.Contains(t, text, "\n"+line+"\n")
	}
}
