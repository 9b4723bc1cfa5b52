package deploy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func itoa(n int) string { return strconv.Itoa(n) }

func get(address string) (string, error) {
	response, err := http.Get(address)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

func awaitMetric(tb testing.TB, address, line string) {
	tb.Helper()
	var body string
	require.Eventually(tb, func() bool {
		body, _ = get(address)
		return strings.Contains(body, "\n"+line+"\n")
	}, 10*time.Second, 50*time.Millisecond, line)
}

// prometheus is a running Prometheus.
type prometheus struct {
	url string
}

// waits matches how long alerts wait, which a test does not.
var waits = regexp.MustCompile(`(?m)^(\s+for:) .*$`)

// mustPrometheus starts Debian's Prometheus with the rules of this project. It scrapes and evaluates every second, and its alerts
// wait for two seconds. A program named by REDIS_OBSERVER_TEST_PROMETHEUS takes its place.
func mustPrometheus(tb testing.TB, port int, scrape string, more ...string) prometheus {
	tb.Helper()
	alerts := mustWrite(tb, "alerts.yaml", string(waits.ReplaceAll(mustRead(tb, deployRoot, "prometheus/alerts.yaml"), []byte("$1 2s"))))
	rules, err := filepath.Abs(deployRoot + "/prometheus/rules.yaml")
	require.NoError(tb, err)
	file := mustWrite(tb, "prometheus.yml", fmt.Sprintf(
		"global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s, %s]\nscrape_configs:\n%s", alerts, rules, scrape))
	programs := prometheusPrograms(tb)
	mustOutput(tb, programs+"/promtool", "check", "config", file)
	program := cmp.Or(os.Getenv("REDIS_OBSERVER_TEST_PROMETHEUS"), programs+"/prometheus")
	mustStart(tb, program, append(more, "--config.file", file, "--storage.tsdb.path", tb.TempDir(),
		"--web.listen-address", "127.0.0.1:"+itoa(port))...).awaitLog(tb, "Server is ready")
	return prometheus{url: "http://127.0.0.1:" + itoa(port)}
}

// sample is one element of an instant vector.
type sample struct {
	Metric map[string]string
	Value  [2]any
}

func (p prometheus) query(expression string) ([]sample, error) {
	body, err := get(p.url + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return nil, err
	}
	var answer struct{ Data struct{ Result []sample } }
	return answer.Data.Result, json.Unmarshal([]byte(body), &answer)
}

// firing says whether an alert fires with that label.
func (p prometheus) firing(alert, label, value string) bool {
	samples, err := p.query(fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing",%s=%q}`, alert, label, value))
	return err == nil && len(samples) > 0
}
