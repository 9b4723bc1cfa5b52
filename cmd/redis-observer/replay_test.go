package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the captures and the golden files of testdata/replay anew")

// replayFile runs the command over a capture.
func replayFile(tb testing.TB, args ...string) (status int, stdout, stderr string) {
	tb.Helper()
	var out, errs bytes.Buffer
	status = program{}.run(context.Background(), append([]string{"replay"}, args...), &out, &errs)
	return status, out.String(), errs.String()
}

// golden returns the part of the output that is stable across builds: series that are not zero, and
// losses.
func golden(status int, stdout, stderr string) string {
	var b strings.Builder
	for line := range strings.Lines(stdout) {
		of := func(prefix string) bool { return strings.HasPrefix(line, prefix) }
		if of("#") || of("redis_observer_build") || of("redis_observer_config") || strings.Contains(line, "_bucket{") || strings.HasSuffix(line, " 0\n") {
			continue
		}
		b.WriteString(line)
	}
	if status != 0 {
		fmt.Fprintf(&b, "exit status %d\n", status)
	}
	return b.String() + stderr
}

// TestGoldenCaptures compares the results of testdata/replay with golden files. -update rewrites
// captures and golden files; review them before committing.
func TestGoldenCaptures(t *testing.T) {
	t.Chdir(filepath.Join("testdata", "replay"))
	for _, script := range scripts {
		t.Run(script.name, func(t *testing.T) {
			file, expected := script.name+".pcap", script.name+".txt"
			if *update {
				require.NoError(t, os.WriteFile(file, script.file(), 0o644))
			}
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, script.file(), content, "run with -update after a change of the script")
			got := golden(replayFile(t, file))
			if *update {
				require.NoError(t, os.WriteFile(expected, []byte(got), 0o644))
			}
			want, err := os.ReadFile(expected)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
		})
	}
}

func TestReplayOutputs(t *testing.T) {
	file := filepath.Join("testdata", "replay", "resp2.pcap")
	status, table, stderr := replayFile(t, "--output", "table", file)
	require.Zero(t, status, stderr)
	assert.Equal(t, strings.Fields("name command commands rate/s p50 p90 p99 max errors"), strings.Fields(table)[:9])
	assert.Contains(t, stderr, "nothing was lost")

	status, text, stderr := replayFile(t, "--output", "json", file)
	require.Zero(t, status, stderr)
	var result outcome
	require.NoError(t, json.Unmarshal([]byte(text), &result))
	assert.Empty(t, result.Losses)
	assert.Zero(t, result.Outstanding)
	assert.NotZero(t, result.Packets)
	require.NotEmpty(t, result.Commands)
	assert.Equal(t, "default", result.Commands[0].Name)
	require.NotNil(t, result.Commands[0].P50)
	assert.Positive(t, *result.Commands[0].P50)
}

// A replay shows the slow commands of the whole capture, if it is asked for them.
func TestReplaySlow(t *testing.T) {
	file := filepath.Join("testdata", "replay", "resp2.pcap")
	_, text, _ := replayFile(t, "--output", "json", file)
	assert.NotContains(t, text, `"slow"`)
	t.Setenv("REDIS_OBSERVER_SLOW_COMMANDS_SIZE", "3")
	t.Setenv("REDIS_OBSERVER_SLOW_COMMANDS_THRESHOLD", "100µs")
	status, text, stderr := replayFile(t, "--output", "json", file)
	require.Zero(t, status, stderr)
	var result outcome
	require.NoError(t, json.Unmarshal([]byte(text), &result))
	require.NotNil(t, result.Slow)
	require.Len(t, result.Slow.Commands, 3)
	assert.Greater(t, result.Slow.Seen, uint64(3))
	slowest := result.Slow.Commands[0]
	assert.GreaterOrEqual(t, slowest.Seconds, result.Slow.Commands[2].Seconds)
	assert.Equal(t, "default", slowest.Name)
	assert.Contains(t, slowest.Peer, ":6379")
	status, table, stderr := replayFile(t, "--output", "table", file)
	require.Zero(t, status, stderr)
	assert.Contains(t, table, "took 100µs or longer; the slowest 3 are shown")
	assert.Regexp(t, `(?m)^WHEN +NAME +COMMAND +DURATION`, table)
}

func TestReplayTellsWhatIsOutstanding(t *testing.T) {
	status, text, stderr := replayFile(t, "--output", "json", filepath.Join("testdata", "replay", "unfinished.pcap"))
	require.Zero(t, status, stderr)
	var result outcome
	require.NoError(t, json.Unmarshal([]byte(text), &result))
	assert.Equal(t, 1, result.Outstanding)
	assert.Contains(t, stderr, "not counted: 1\n")
}

func TestReplayRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"no file":        {nil, "requires at least 1 arg"},
		"unknown output": {[]string{"--output", "xml", "-"}, "allowed prometheus, table, json"},
		"missing file":   {[]string{"/does/not/exist.pcap"}, "no such file"},
		"no capture":     {[]string{"replay_test.go"}, "not a capture file"},
		"bad config":     {[]string{"--config", "/does/not/exist.yaml", "-"}, "/does/not/exist.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := replayFile(t, test.args...)
			assert.Equal(t, 1, status)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, test.says)
		})
	}
}
