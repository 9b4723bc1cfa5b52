package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWhose(t *testing.T) {
	for _, test := range []struct {
		labels  []string
		heading string
		cells   []string
	}{
		{[]string{"process_executable_name=web", "", "process_executable_name=a=b"}, "process", []string{"web", "", "a=b"}},
		{[]string{"team=x"}, "team", []string{"x"}},
		{[]string{"a=1, b=2", "a=1"}, "labels", []string{"a=1, b=2", "a=1"}},
		{[]string{"a=1", "b=2"}, "labels", []string{"a=1", "b=2"}},
		{[]string{""}, "labels", []string{""}},
	} {
		heading, cells := Whose(test.labels)
		assert.Equal(t, test.heading, heading)
		assert.Equal(t, test.cells, cells)
	}
}

// The process is said once.
func TestWho(t *testing.T) {
	for want, g := range map[string]SlowGroup{
		"":                                       {},
		"process_executable_name=web":            {Process: "web"},
		"process_executable_name=api":            {Process: "api", Labels: "process_executable_name=api"},
		"pod=a":                                  {Labels: "pod=a"},
		"pod=a, process_executable_name=web":     {Labels: "pod=a", Process: "web"},
		"pod=b, process_executable_name=web, x=": {Labels: "pod=b, process_executable_name=web, x=", Process: "web"},
	} {
		assert.Equal(t, want, g.Who())
	}
}

func TestGroupSince(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	g := SlowGroup{First: noon, Last: noon.Add(time.Hour)}
	assert.Equal(t, "12:00:00", g.Since())
	g.Last = noon.Add(12 * time.Hour)
	assert.Equal(t, "2026-03-01 12:00:00", g.Since())
}
