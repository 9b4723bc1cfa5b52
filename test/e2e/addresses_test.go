package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/internal/report"
	"github.com/redis-observer/redis-observer/test/kit"
)

// An address without a name is shown with its connections, and names with their addresses: as JSON, in
// a terminal and in a browser.
func TestAddressesAreShown(t *testing.T) {
	t.Parallel()
	r := mustRedis(t, "--bind", "127.0.0.1 127.0.0.2")
	o := mustObserver(t, fmt.Sprintf(`
ports: []
endpoints:
  - name: sessions
    addresses:
      - localhost:%d
metrics:
  labels:
    - process_executable_name
`, r.Port))
	named, unnamed := fmt.Sprint("127.0.0.1:", r.Port), fmt.Sprint("127.0.0.2:", r.Port)
	mustDial(t, named).mustDo("PING")
	for range 3 {
		mustDial(t, unnamed).mustDo("PING")
	}
	executable, err := filepath.EvalSymlinks(os.Args[0])
	require.NoError(t, err)
	want := report.Unnamed{Address: unnamed, Role: "client", Connections: 3, Executables: []string{filepath.Base(executable)}}
	if byPackets() {
		want.Executables = nil
	}
	var v report.Addresses
	require.Eventually(t, func() bool {
		response, err := http.Get(o.URL("/addresses"))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		v = report.Addresses{}
		return json.NewDecoder(response.Body).Decode(&v) == nil && assert.ObjectsAreEqual([]report.Unnamed{want}, v.Unnamed)
	}, settled, 50*time.Millisecond)
	require.Len(t, v.Named, 1)
	assert.Contains(t, v.Named[0].Resolved, "127.0.0.1")
	assert.Equal(t, fmt.Sprint("localhost:", r.Port), v.Named[0].Address)

	w := mustTerminal(t, 150, 24, raceBinary, "top", o.URL(""), "--interval", "500ms")
	w.mustShow(`(?m)^\? help`)
	w.must("send-keys", "u")
	w.mustShow(fmt.Sprintf(`(?m)^no name +127\.0\.0\.2:%d +client +3\b`, r.Port))
	w.mustShow(fmt.Sprintf(`(?m)^sessions +localhost:%d +client +.*127\.0\.0\.1`, r.Port))
	w.must("send-keys", "q")

	document, log := mustBrowse(t, o.URL("/"))
	assert.Contains(t, document, fmt.Sprintf(`<td class="text">%s</td><td class="text">client</td><td class="">3</td>`, unnamed), "the script has run")
	assert.Regexp(t, fmt.Sprintf(`<td class="text">sessions</td><td class="text">client</td><td class="text">localhost:%d</td><td class="text">[^<]*127\.0\.0\.1`, r.Port), document)
	assert.NotContains(t, log, "Content Security Policy")
	assert.NotContains(t, log, "Uncaught")
}

// An endpoint that is open to everybody shows no address, and says why.
func TestAddressesAreGuarded(t *testing.T) {
	t.Parallel()
	r := mustRedis(t)
	o := mustPreparedObserver(t, raceBinary, fmt.Sprintf("ports:\n  - %d\nendpoints:\n  - name: sessions\n    addresses:\n      - 127.0.0.9:%[1]d\n", r.Port), openToAll(t))
	mustDial(t, fmt.Sprint("127.0.0.1:", r.Port)).mustDo("PING")
	o.assertCommands("default", counts{"ping": 1})
	const why = "are not served: anybody who reaches the endpoint could read it (set basic_auth_users"
	for path, status := range map[string]int{"/addresses": http.StatusNotFound, "/": http.StatusOK, "/live.json": http.StatusOK} {
		response, err := http.Get(o.URL(path))
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		require.NoError(t, err)
		assert.Equal(t, status, response.StatusCode, path)
		assert.Contains(t, string(body), why, path)
		assert.NotContains(t, string(body), fmt.Sprint(":", r.Port), path)
	}
	command := exec.Command(raceBinary, "top", o.URL(""), "--addresses", "--once", "--interval", "100ms")
	command.Env = kit.Environment()
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), why)
}
