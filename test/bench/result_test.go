package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSummaries(t *testing.T) {
	assert.Equal(t, 2.0, median([]float64{3, 1, 2}))
	assert.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
	assert.InDelta(t, 0.1, noise([]float64{90, 100, 110}), 1e-9)
}

func TestParseCSV(t *testing.T) {
	s, err := parseCSV([]byte("\"test\",\"rps\",\"p99_latency_ms\"\n\"GET\",\"384615.38\",\"6.479\"\n"))
	require.NoError(t, err)
	assert.Equal(t, speed{rate: 384615.38, p99: 6479 * time.Microsecond}, s)
	for name, output := range map[string]string{
		"nothing":     "",
		"before 6.2":  "\"GET\",\"384615.38\"\n",
		"too short":   "\"test\",\"rps\",\"p99_latency_ms\"\n\"GET\",\"inf\",\"0.1\"\n",
		"no figures":  "\"test\",\"rps\",\"p99_latency_ms\"\n\"GET\",\"\",\"\"\n",
		"another one": "\"test\"\n\"GET\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseCSV([]byte(output))
			assert.Error(t, err)
		})
	}
}

func TestDifferences(t *testing.T) {
	assert.Empty(t, differences(map[string]float64{"get": 2}, map[string]float64{"get": 2}))
	assert.Len(t, differences(map[string]float64{"get": 2, "set": 1}, map[string]float64{"get": 1, "del": 1}), 3)
}

// CPU times of the two ends are compared where they are known: no server that is measured takes part in what Redis does not count.
func TestCompareCPU(t *testing.T) {
	off := outcome{Rate: 1, P99: 1, Client: 100, Server: 200, Sent: 10, Passed: 1}
	on := off
	on.Client, on.Server = 125, 210
	ratios := func(off, on outcome) map[string]float64 {
		found := map[string]float64{}
		for _, m := range compare("get-p1", theObserver, 10, [][]outcome{{off, on}}, 1).Metrics {
			if m.Name == clientCPU || m.Name == serverCPU {
				found[m.Name] = m.Median
			}
		}
		return found
	}
	assert.Equal(t, map[string]float64{clientCPU: 1.25, serverCPU: 1.05}, ratios(off, on))
	off.Sent, on.Sent = 0, 0
	assert.Equal(t, map[string]float64{clientCPU: 1.25}, ratios(off, on))
	off.Client, on.Client = 0, 0
	assert.Empty(t, ratios(off, on))
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name, watcher, metric string
		value                 float64
		faults                []string
		quick                 bool
		bar                   string
		met                   bool
	}{
		{name: "get-p1", metric: throughputKept, value: 0.95, bar: "≥ 0.95", met: true},
		{name: "get-p1", metric: throughputKept, value: 0.94, bar: "≥ 0.95"},
		{name: "get-p1", metric: throughputKept, value: 0.94, quick: true},
		{name: "get-p1-server", metric: throughputKept, value: 0.94, bar: "≥ 0.93", met: true},
		{name: "get-p1", watcher: "tcpdump", metric: throughputKept, value: 0.9},
		{name: "set-1mb", metric: copied, value: 2, bar: "< 2"},
		{name: "tls-get-p1", metric: clientCPU, value: 1.25, bar: "≤ 1.25", met: true},
		{name: "tls-get-p16", metric: clientCPU, value: 1.09, bar: "≤ 1.08"},
		{name: "tls-get-p1", metric: serverCPU, value: 2},
		{name: "tls-get-p1-server", metric: serverCPU, value: 1.26, bar: "≤ 1.25"},
		{name: "tls-get-p16-server", metric: clientCPU, value: 2},
		{name: "tls-get-p16-both", metric: serverCPU, value: 1.08, bar: "≤ 1.08", met: true},
		{name: "idle", metric: lost, value: 0, quick: true, bar: "≤ 0", met: true},
		{name: "get-p100", metric: seen, value: 100, faults: []string{"one run of seven"}, bar: "≥ 100"},
	}
	for _, test := range tests {
		t.Run(test.name+" "+test.metric, func(t *testing.T) {
			if test.watcher == "" {
				test.watcher = "observer"
			}
			r := result{Case: test.name, Watcher: test.watcher, Faults: test.faults}
			r.add(test.metric, test.value)
			r.judge(test.quick)
			m := r.Metrics[0]
			assert.Equal(t, test.bar, m.Bar)
			require.Equal(t, test.bar != "", m.Met != nil)
			if m.Met != nil {
				assert.Equal(t, test.met, *m.Met)
			}
		})
	}
}
