package report

import (
	"math"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const scrape = `
# TYPE redis_commands_total counter
redis_commands_total{name="cache",command="get",status="success"} 90
redis_commands_total{name="cache",command="get",status="error"} 10
redis_commands_total{name="cache",command="set",status="success"} 4
redis_commands_total{name="cache",command="set",status="error"} 0
redis_commands_total{name="queue",command="lpush",status="success"} 0
# TYPE redis_command_errors_total counter
redis_command_errors_total{name="cache",command="get"} 10
# TYPE redis_command_duration_seconds histogram
redis_command_duration_seconds_bucket{name="cache",command="get",le="0.001"} 50
redis_command_duration_seconds_bucket{name="cache",command="get",le="0.002"} 100
redis_command_duration_seconds_bucket{name="cache",command="get",le="+Inf"} 100
redis_command_duration_seconds_sum{name="cache",command="get"} 1
redis_command_duration_seconds_count{name="cache",command="get"} 100
redis_command_duration_seconds_bucket{name="cache",command="set",le="0.001"} 0
redis_command_duration_seconds_bucket{name="cache",command="set",le="0.002"} 0
redis_command_duration_seconds_bucket{name="cache",command="set",le="+Inf"} 4
redis_command_duration_seconds_sum{name="cache",command="set"} 1
redis_command_duration_seconds_count{name="cache",command="set"} 4
`

func mustParse(tb testing.TB, text string) []*dto.MetricFamily {
	tb.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	byName, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(tb, err)
	var families []*dto.MetricFamily
	for _, family := range byName {
		families = append(families, family)
	}
	return families
}

func TestRows(t *testing.T) {
	before := mustParse(t, strings.Replace(scrape, `status="success"} 90`, `status="success"} 50`, 1))
	rows := Rows(mustParse(t, scrape), before, 2*time.Second)

	assert.Equal(t, []Row{
		{
			Name: "cache", Command: "get", Count: 100, Errors: 10, Rate: 20, Timed: true,
			P50: time.Millisecond, P90: 1800 * time.Microsecond, P99: 1980 * time.Microsecond, Max: 2 * time.Millisecond,
		},
		// In the +Inf bucket, quantiles are its lower bound, as in Prometheus.
		{
			Name: "cache", Command: "set", Count: 4, Rate: 0, Timed: true,
			P50: 2 * time.Millisecond, P90: 2 * time.Millisecond, P99: 2 * time.Millisecond, Max: -1,
		},
	}, rows)
}

// TestRowsWithoutDurations: commands without a reply (CLIENT REPLY OFF) have no duration, so there
// are no quantiles.
func TestRowsWithoutDurations(t *testing.T) {
	rows := Rows(mustParse(t, `
# TYPE redis_commands_total counter
redis_commands_total{name="cache",command="set",status="success"} 4
# TYPE redis_command_duration_seconds histogram
redis_command_duration_seconds_bucket{name="cache",command="set",le="0.00005"} 0
redis_command_duration_seconds_bucket{name="cache",command="set",le="10"} 0
redis_command_duration_seconds_bucket{name="cache",command="set",le="+Inf"} 0
redis_command_duration_seconds_sum{name="cache",command="set"} 0
redis_command_duration_seconds_count{name="cache",command="set"} 0
`), nil, 0)
	require.Len(t, rows, 1)
	assert.False(t, rows[0].Timed)
	assert.Zero(t, rows[0].P99)
	var text strings.Builder
	require.NoError(t, Print(&text, rows))
	assert.Equal(t, strings.Fields("cache set 4 - - - - - 0"), strings.Fields(strings.Split(text.String(), "\n")[1]))
}

func TestRowsWithoutEarlierScrape(t *testing.T) {
	for _, row := range Rows(mustParse(t, scrape), nil, 0) {
		assert.True(t, math.IsNaN(row.Rate), row.Command)
	}
}

func TestPrint(t *testing.T) {
	var text strings.Builder
	require.NoError(t, Print(&text, Rows(mustParse(t, scrape), nil, 0)))

	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	require.Len(t, lines, 3)
	assert.Equal(t, strings.Fields("name command commands rate/s p50 p90 p99 max errors"), strings.Fields(lines[0]))
	assert.Equal(t, strings.Fields("cache get 100 - 1.00ms 1.80ms 1.98ms ≤2.00ms 10"), strings.Fields(lines[1]))
	assert.Equal(t, strings.Fields("cache set 4 - 2.00ms 2.00ms 2.00ms over 0"), strings.Fields(lines[2]))
}
