package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Without metrics.labels nothing tells that there are such labels. With one, the rest stays equal to
// the byte.
func TestLabelsChangeNothingElse(t *testing.T) {
	expose := func(configuration string) string {
		status, text, stderr := replayFile(t, "--config", mustConfigure(t, configuration), filepath.Join("testdata", "replay", "resp2.pcap"))
		require.Zero(t, status, stderr)
		return text
	}
	without := expose("ports: [6379]\n")
	assert.NotContains(t, without, "client_address")
	assert.NotContains(t, without, "redis_observer_label_")

	with := expose("ports: [6379]\nmetrics: {labels: [client_address]}\n")
	assert.Contains(t, with, `redis_commands_total{client_address="",`, "the observed end is the client")
	assert.Contains(t, with, "redis_observer_label_sets 1\n")
	rest := regexp.MustCompile(`client_address="",|(?m:^.*redis_observer_label_.*\n)`).ReplaceAllString(with, "")
	assert.Equal(t, withoutConfiguration(without), withoutConfiguration(rest))
}

// withoutConfiguration removes the series that identify the configuration.
func withoutConfiguration(exposition string) string {
	var b strings.Builder
	for line := range strings.Lines(exposition) {
		if !strings.HasPrefix(line, "redis_observer_config") {
			b.WriteString(line)
		}
	}
	return b.String()
}
