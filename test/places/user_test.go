package places

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nobody has no capability, and no right to anything.
const nobody = 65534

func TestOrdinaryUser(t *testing.T) {
	requireRoot(t, "redis-server")
	repository := mustCopy(t)
	dir := filepath.Dir(repository)
	own := func(name string) string { return filepath.Join(dir, name) }
	// Links are quick; the files stay root's, and the directories are the user's.
	mustShell(t, fmt.Sprintf(`cd %s
for pair in $(go env GOCACHE):cache $(go env GOMODCACHE):modules; do
	cp -al ${pair%%:*} ${pair#*:} || { rm -rf ${pair#*:}; cp -a ${pair%%:*} ${pair#*:}; }
done
mkdir home
chown -R %[2]d:%[2]d repository home
find cache modules -type d -exec chown %[2]d:%[2]d {} + -exec chmod u+w {} +`, dir, nobody))
	run := func(t *testing.T, arguments ...string) string {
		command := exec.Command(arguments[0], arguments[1:]...)
		command.Dir = repository
		command.Env = append(environment(own("home"), own("cache"), own("modules")), "TMPDIR="+own("home"))
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return mustRun(t, command)
	}
	require.NoError(t, os.Chmod(repository, 0o755))
	t.Run("demo", func(t *testing.T) {
		output := run(t, "make", "demo")
		assertTable(t, output)
		assert.Contains(t, output, "This is recorded traffic (test/demo/traffic.pcap.gz), because nothing can be captured here: CAP_NET_RAW missing; `sudo make demo` has it.")
		assert.Contains(t, output, "nothing was lost")
	})
	t.Run("test", func(t *testing.T) {
		output := run(t, makeTest("")...)
		assert.Regexp(t, `(?m)^\d+ tests, [1-9]\d* skipped$`, output)
		assert.Contains(t, output, "needs CAP_NET_RAW to capture packets")
	})
}
