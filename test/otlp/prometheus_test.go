package otlp

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
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
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
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

// answer is that of Prometheus to a query.
type answer struct {
	Data struct {
		Result []struct {
			Metric    map[string]string
			Value     [2]any // time and value
			Histogram [2]any // time and histogram, of a native one
		}
	}
}

// bucket is one of a native histogram that is not empty.
type bucket struct {
	low, high float64 // seconds; a duration of low is in the bucket before
	count     float64
}

// ask returns the series of a job, in the form of kit.Samples, and the buckets of those that are native histograms.
func ask(t *testing.T, prometheus string) (kit.Samples, map[string][]bucket) {
	t.Helper()
	response, err := http.Get(prometheus + "/api/v1/query?query=" + url.QueryEscape(`{job="redis-observer"}`))
	require.NoError(t, err)
	defer response.Body.Close()
	var got answer
	require.NoError(t, json.NewDecoder(response.Body).Decode(&got))
	s, buckets := kit.Samples{}, map[string][]bucket{}
	for _, result := range got.Data.Result {
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
		labels := "{" + strings.Join(pairs, ",") + "}"
		histogram, native := result.Histogram[1].(map[string]any)
		if !native {
			s[name+labels] = mustNumber(t, result.Value[1])
			continue
		}
		s[name+labels], s[name+"_sum"+labels] = mustNumber(t, histogram["count"]), mustNumber(t, histogram["sum"])
		all, _ := histogram["buckets"].([]any) // none without observations
		for _, one := range all {
			of := one.([]any) // how its ends are meant, its ends, its count
			buckets[name+labels] = append(buckets[name+labels], bucket{mustNumber(t, of[1]), mustNumber(t, of[2]), mustNumber(t, of[3])})
		}
	}
	return s, buckets
}

func mustNumber(t *testing.T, text any) float64 {
	t.Helper()
	s, _ := text.(string)
	number, err := strconv.ParseFloat(s, 64)
	require.NoError(t, err)
	return number
}

// bucketsOf returns the native buckets of /metrics, which only its binary form has.
func bucketsOf(t *testing.T, o *kit.Observer) map[string][]bucket {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.URL("/metrics"), http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	decoder := expfmt.NewDecoder(response.Body, expfmt.ResponseFormat(response.Header))
	buckets := map[string][]bucket{}
	for {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); err != nil {
			require.ErrorIs(t, err, io.EOF)
			return buckets
		}
		for _, metric := range family.GetMetric() {
			h := metric.GetHistogram()
			if h == nil || h.Schema == nil {
				continue
			}
			var pairs []string
			for _, label := range metric.GetLabel() {
				pairs = append(pairs, label.GetName()+"="+label.GetValue())
			}
			slices.Sort(pairs)
			buckets[family.GetName()+"{"+strings.Join(pairs, ",")+"}"] = positive(h)
		}
	}
}

// positive returns the buckets above zero that are not empty. The bucket i ends at the power i of the base.
func positive(h *dto.Histogram) (buckets []bucket) {
	bound := func(i int32) float64 { return math.Exp2(math.Ldexp(float64(i), int(-h.GetSchema()))) }
	index, count, deltas := int32(0), int64(0), h.GetPositiveDelta()
	for _, span := range h.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			count += deltas[0]
			if deltas = deltas[1:]; count > 0 {
				buckets = append(buckets, bucket{bound(index - 1), bound(index), float64(count)})
			}
			index++
		}
	}
	return buckets
}

// equalBuckets compares buckets. Their bounds were computed in different ways.
func equalBuckets(a, b []bucket) bool {
	near := func(x, y float64) bool { return math.Abs(x-y) <= 1e-9*x }
	return slices.EqualFunc(a, b, func(x, y bucket) bool { return near(x.low, y.low) && near(x.high, y.high) && x.count == y.count })
}

// assertSameBuckets waits until the durations that arrived are those of /metrics, bucket by bucket. Each command has one series of
// a family, with its label.
func assertSameBuckets(t *testing.T, o *kit.Observer, prometheus, family string, label func(command string) string) {
	t.Helper()
	var wrong string
	require.Eventually(t, func() bool {
		want := bucketsOf(t, o)
		_, have := ask(t, prometheus)
		for _, command := range []string{"get", "set", "lpush"} {
			expected := want["redis_command_duration_seconds{command="+command+",name=cache}"]
			var arrived [][]bucket
			for series, buckets := range have {
				if strings.HasPrefix(series, family+"{") && strings.Contains(series, label(command)+",") {
					arrived = append(arrived, buckets)
				}
			}
			if len(expected) == 0 || len(arrived) != 1 || !equalBuckets(expected, arrived[0]) {
				wrong = fmt.Sprintf("%s has %v, not %v", command, arrived, expected)
				return false
			}
		}
		return true
	}, settled, 200*time.Millisecond, "%s", &lazy{&wrong})
}

// The receiver of Prometheus stores what a scrape of /metrics would.
func TestPrometheus(t *testing.T) {
	requirements(t)
	program := filepath.Join(t.TempDir(), "prometheus")
	// Without its service discoveries, which are most of it.
	output, err := exec.Command("go", "build", "-tags", "remove_all_sd", "-o", program, "github.com/prometheus/prometheus/cmd/prometheus").CombinedOutput()
	require.NoError(t, err, "%s", output)
	for _, native := range []bool{false, true} {
		metrics := fmt.Sprintf("native_histograms: %t", native)
		t.Run(fmt.Sprintf("prometheus native=%t", native), func(t *testing.T) {
			prometheus := mustPrometheus(t, program)
			o := mustObserve(t, metrics, fmt.Sprintf("endpoint: \"%s/api/v1/otlp/v1/metrics\", names: prometheus", prometheus))
			assertSame(t, o, samplesIn(t, prometheus))
			if native {
				assertSameBuckets(t, o, prometheus, "redis_command_duration_seconds", func(command string) string { return "command=" + command })
			}
		})
		t.Run(fmt.Sprintf("semconv native=%t", native), func(t *testing.T) {
			prometheus := mustPrometheus(t, program)
			o := mustObserve(t, metrics, fmt.Sprintf("endpoint: \"%s/api/v1/otlp/v1/metrics\"", prometheus))
			assertConventions(t, o, samplesIn(t, prometheus), func(name string) string {
				if name == "db.client.operation.duration" {
					name += "_seconds"
				}
				return strings.ReplaceAll(name, ".", "_")
			})
			if native {
				assertSameBuckets(t, o, prometheus, "db_client_operation_duration_seconds", func(command string) string {
					return "db_operation_name=" + strings.ToUpper(command)
				})
			}
		})
	}
}

// samplesIn returns what a Prometheus has.
func samplesIn(t *testing.T, prometheus string) received {
	return func() kit.Samples {
		samples, _ := ask(t, prometheus)
		return samples
	}
}
