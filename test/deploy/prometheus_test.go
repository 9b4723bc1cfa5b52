package deploy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
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

// mustPrometheus starts Debian's Prometheus with the rules of this project. It scrapes and evaluates every second.
func mustPrometheus(tb testing.TB, port int, scrape string) prometheus {
	tb.Helper()
	rules, err := filepath.Abs(deployRoot + "/prometheus/alerts.yaml")
	require.NoError(tb, err)
	programs := prometheusPrograms(tb)
	file := mustWrite(tb, "prometheus.yml", fmt.Sprintf(
		"global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n%s", rules, scrape))
	mustOutput(tb, programs+"/promtool", "check", "config", file)
	mustStart(tb, programs+"/prometheus", "--config.file", file, "--storage.tsdb.path", tb.TempDir(),
		"--web.listen-address", "127.0.0.1:"+itoa(port)).awaitLog(tb, "Server is ready")
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
