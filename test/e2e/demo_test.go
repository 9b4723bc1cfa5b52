package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// On a terminal the demonstration shows the table of top, and then the counts beside those of Redis. It has ports of its own.
func TestDemoOnATerminal(t *testing.T) {
	t.Parallel()
	RequireObserver(t)
	demo := filepath.Join(t.TempDir(), "demo")
	output, err := exec.Command("go", "build", "-o", demo, "../demo").CombinedOutput()
	require.NoError(t, err, "%s", output)
	shown := mustTerminal(t, 110, 30, "sh", "-c", `cd ../.. && "$0" "$1"; echo "done with $?"; sleep 60`, demo, raceBinary)
	// The demo tries the probes of every backend before it attaches some, which takes long on a busy machine.
	shown.mustShowWithin(2*time.Minute, `Two applications use it`)
	screen := shown.mustShow(`(?m)^session-cache +lpush +[1-9]\d* +[1-9]\d* .* \d/\d$`)
	assert.Contains(t, screen, "1 node (")
	screen = shown.mustShow(`done with \d`)
	assert.Contains(t, screen, "done with 0")
	assert.Regexp(t, `(?m)^get +[1-9]\d* +[1-9]\d*$`, screen, "Redis' own counts")
}
