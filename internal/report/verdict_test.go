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
	assert.Empty(t, Verdict(groups, now, Clock))
	MarkCauses(groups, now)
	assert.Equal(t, "Slow: orders-db eval of process report since 12:00:10, and 1 other cause. To do: send it less often, or with less to do each time.", Verdict(groups, now, Clock))
	var marks []string
	for i := range groups {
		marks = append(marks, groups[i].Waited())
	}
	assert.Equal(t, []string{"", "eval", "cause", "cause", ""}, marks, "as many as the sentence counts")
	MarkCauses(groups[:2], now)
	assert.Empty(t, Verdict(groups[:2], now, Clock))
	few := groups[4:]
	MarkCauses(few, now)
	assert.True(t, few[0].Cause, "the first, whatever its share")
	rare := []SlowGroup{{Last: now, Count: 1, Of: 9000, Share: 0.5}, {Last: now, Count: 6, Of: 280_528, Share: 0.2}, {Last: now, Count: 6, Of: 6000, Share: 0.1}}
	MarkCauses(rare, now)
	assert.Equal(t, []bool{true, false, true}, []bool{rare[0].Cause, rare[1].Cause, rare[2].Cause})
	yesterday := []SlowGroup{{Node: "n:1", Name: "a", Command: "get", Labels: "pod=p, app=web", First: at(-86400), Last: now, Cause: true}}
	assert.Contains(t, Verdict(yesterday, now, Clock), "Slow: n:1 a get of labels pod=p, app=web since "+start.Add(-24*time.Hour).Format(time.DateTime)+". To do")
}

func TestSlowOf(t *testing.T) {
	g := SlowGroup{Count: 503}
	assert.Equal(t, "503", g.Slow())
	g.Of = 510
	assert.Equal(t, "503 of 510", g.Slow())
}
