package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// zone is that of the browser, which is not that of the observer.
const zone = "Asia/Kolkata"

// mustBrowse opens a page in a browser, lets its script run for some seconds, and returns the
// document and the log of the browser.
func mustBrowse(t *testing.T, url string) (document, log string) {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		skip(t, "needs chromium (test/install.sh browser)")
	}
	browser := exec.Command("timeout", "60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
		"--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=5000", "--dump-dom", url)
	browser.Env = append(kit.Environment(), "TZ="+zone)
	var out, stderr bytes.Buffer
	browser.Stdout, browser.Stderr = &out, &stderr
	require.NoError(t, browser.Run(), "%s", &stderr)
	return out.String(), stderr.String()
}

// A browser shows the live table, and the page breaks no rule of its own policy.
func TestPage(t *testing.T) {
	t.Parallel()
	server := mustRedis(t)
	o := mustObserver(t, fmt.Sprintf("ports: []\nendpoints: [{name: sessions, addresses: ['127.0.0.1:%d']}]\n", server.Port))
	use(t, server.Port)
	document, log := "", ""
	for deadline := time.Now().Add(settled); time.Now().Before(deadline); {
		if document, log = mustBrowse(t, o.URL("/")); bytes.Contains([]byte(document), []byte(">lpush<")) {
			break
		}
	}
	assert.Contains(t, document, `<button type="button">Name</button>`, "the script has run")
	assert.Regexp(t, `<td class="text">sessions</td><td class="text">get</td><td class="text whose"></td><td class="">[1-9]`, document)
	assert.Regexp(t, `<td class="text">lpush</td><td class="text whose"></td><td class="">[1-9][\d.]*</td><td class="bad">[1-9]`, document, "its errors are marked")
	assert.Regexp(t, `class="exact">Every number since \d\d:\d\d:\d\d is exact`, document)
	until := regexp.MustCompile(`<caption id="caption">(?:The last|Since the start of the observer,) \d+ seconds, until (\d\d:\d\d:\d\d)\.`).FindStringSubmatch(document)
	require.NotNil(t, until, document)
	there, err := time.LoadLocation(zone)
	require.NoError(t, err)
	shown, err := time.ParseInLocation(time.DateTime, time.Now().In(there).Format(time.DateOnly)+" "+until[1], there)
	require.NoError(t, err)
	apart := time.Since(shown).Abs() % (24 * time.Hour) // of another day, at midnight
	assert.Less(t, min(apart, 24*time.Hour-apart), time.Minute, "in the zone of the browser")
	assert.NotContains(t, document, "secret")
	assert.Contains(t, document, `role="alert"></span>`, "each request was answered")
	assert.NotContains(t, log, "Content Security Policy")
	assert.NotContains(t, log, "Uncaught")
}

// What was lost stands in the page with the time, its meaning and what to do, as the script draws it.
func TestPageOfLosses(t *testing.T) {
	server := mustRedis(t)
	o := mustObserver(t, observing(server.Port)+"capture: {ring_size: 64KiB, flush_interval: 1s}\n")
	output, err := benchmark(server, "set,get", 30000, 8, "-d", "180").CombinedOutput()
	require.NoError(t, err, "%s", output)
	document, log := mustBrowse(t, o.URL("/"))
	assert.Regexp(t, `class="exact (bad|warn)">Numbers (are being|were) lost .*, counts are too low( by about [\d.]+ %)?: [1-9]\d* events? `, document)
	assert.Regexp(t, `<div id="loss-list"><p>Lost last \(\d+ reasons?\)</p><ul><li>[1-9]\d* events? [^<]*; [^<]*last (at|between) \d\d:\d\d:\d\d[^<]*\.<br>It means[^<]*\.<br>To do: double capture.ring_size`, document)
	assert.NotContains(t, log, "Uncaught")
}
