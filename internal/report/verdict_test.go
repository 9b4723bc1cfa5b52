package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// The verdict names the cause, not what waited behind it, nor what is over.
func TestVerdict(t *testing.T) {
	now := at(600)
	groups := []SlowGroup{
		{Name: "old-db", Command: "keys", First: at(0), Last: at(100), Share: 0.5},
		{Name: "orders-db", Command: "get", First: at(10), Last: now, Share: 0.3, Behind: "eval"},
		{Name: "orders-db", Command: "eval", Process: "report", First: at(10), Last: now, Share: 0.1},
		{Name: "jobs-db", Command: "sort", First: at(20), Last: now, Share: 0.06},
		{Name: "jobs-db", Command: "lrange", First: at(20), Last: now, Share: 0.04},
	}
	assert.Equal(t, "Slow: orders-db eval of process report since 12:00:10, and 1 other cause. To do: send it less often, or with less to do each time.", Verdict(groups, now, Clock))
	assert.Empty(t, Verdict(groups[:2], now, Clock))
	yesterday := []SlowGroup{{Node: "n:1", Name: "a", Command: "get", Labels: "pod=p, app=web", First: at(-86400), Last: now}}
	assert.Contains(t, Verdict(yesterday, now, Clock), "Slow: n:1 a get of labels pod=p, app=web since "+start.Add(-24*time.Hour).Format(time.DateTime)+". To do")
}
