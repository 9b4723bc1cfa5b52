package otlp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

// mustPrometheus starts Prometheus with its receiver, and returns its address.
func mustPrometheus(t *testing.T, program string) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	require.NoError(t, os.WriteFile(config, []byte("global: {}\n"), 0o600))
	address := fmt.Sprintf("127.0.0.1:%d", mustPort(t))
	process, err := kit.Start(exec.Command(program, "--config.file", config, "--storage.tsdb.path", t.TempDir(),
		"--web.listen-address", address, "--web.enable-otlp-receiver"), func() bool {
		response, err := http.Get("http://" + address + "/-/ready")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, process.Stop(syscall.SIGTERM)) })
	return "http://" + address
}

// ask returns the series of a job, in the form of kit.Samples.
func ask(t *testing.T, prometheus string) kit.Samples {
	t.Helper()
	response, err := http.Get(prometheus + "/api/v1/query?query=" + url.QueryEscape(`{job="redis-observer"}`))
	require.NoError(t, err)
	defer response.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	s := kit.Samples{}
	for _, result := range answer.Data.Result {
		name := result.Metric["__name__"]
		if name != "db_client_connection_count" {
			name = strings.TrimSuffix(name, "_count") // kit.Samples has the count of a histogram under its name
		}
		var pairs []string
		for label, value := range result.Metric {
			if label != "__name__" && label != "job" && label != "instance" {
				pairs = append(pairs, label+"="+value)
			}
		}
		slices.Sort(pairs)
		text, _ := result.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		s[name+"{"+strings.Join(pairs, ",")+"}"] = value
	}
	return s
}

// The receiver of Prometheus stores what a scrape of /metrics would.
func TestPrometheus(t *testing.T) {
	requirements(t)
	program := filepath.Join(t.TempDir(), "prometheus")
	// Without its service discoveries, which are most of it.
	output, err := exec.Command("go", "build", "-tags", "remove_all_sd", "-o", program, "github.com/prometheus/prometheus/cmd/prometheus").CombinedOutput()
	require.NoError(t, err, "%s", output)
	t.Run("prometheus", func(t *testing.T) {
		prometheus := mustPrometheus(t, program)
		o := mustObserve(t, "", fmt.Sprintf("endpoint: \"%s/api/v1/otlp/v1/metrics\", names: prometheus", prometheus))
		assertSame(t, o, func() kit.Samples { return ask(t, prometheus) })
	})
	t.Run("semconv", func(t *testing.T) {
		prometheus := mustPrometheus(t, program)
		o := mustObserve(t, "", fmt.Sprintf("endpoint: \"%s/api/v1/otlp/v1/metrics\"", prometheus))
		assertConventions(t, o, func() kit.Samples { return ask(t, prometheus) }, func(name string) string {
			if name == "db.client.operation.duration" {
				name += "_seconds"
			}
			return strings.ReplaceAll(name, ".", "_")
		})
	})
}
