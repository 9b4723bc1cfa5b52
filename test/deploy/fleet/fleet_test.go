package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The recorded series of a small fleet say what was counted.
func TestFleet(t *testing.T) {
	var out strings.Builder
	err := run(t.Context(), options{root: "../../..", nodes: 10, names: 5, commands: 12, duration: 12 * time.Second, interval: time.Second}, &out)
	t.Log(out.String())
	require.NoError(t, err)
}

func TestInlined(t *testing.T) {
	rules := map[string]string{
		"a:r:rate5m": `sum by (a) (rate(r_total{x!=""}[5m]))`,
		"a:r:double": `2 * a:r:rate5m{a!="c"}`,
	}
	for _, row := range []struct{ expression, want string }{
		{`sum(r_total)`, `sum(r_total)`},
		{`a:r:rate5m`, `(sum by (a) (rate(r_total{x!=""}[5m])))`},
		{`sum(a:r:rate5m)`, `sum((sum by (a) (rate(r_total{x!=""}[5m]))))`},
		{`a:r:rate5m{a=~"b"} offset 1m / a:r:rate5m`, `(sum by (a) (rate(r_total{a=~"b",x!=""}[5m] offset 1m))) / (sum by (a) (rate(r_total{x!=""}[5m])))`},
		{`avg_over_time(a:r:rate5m{a="b"}[2m])`, `avg_over_time((sum by (a) (rate(r_total{a="b",x!=""}[5m])))[120000ms:])`},
		{`max(a:r:double{a="b"})`, `max((2 * (sum by (a) (rate(r_total{a!="c",a="b",x!=""}[5m])))))`},
	} {
		got, err := inlined(row.expression, rules)
		assert.NoError(t, err)
		assert.Equal(t, row.want, got)
	}
}

func TestTruth(t *testing.T) {
	begin := time.Now()
	tr := newTruth([]float64{1, 2, 4}, false)
	c, b := tr.count("n", "x", "1"), tr.buckets("d", "x", "1")
	for i := range 100 { // 500 s, ten each 5 s
		*c += 10
		b.add(1.5, 3)
		b.add(3, 1)
		tr.remember(begin.Add(time.Duration(i) * rememberEvery))
	}
	end := begin.Add(99 * rememberEvery)
	assert.InDelta(t, 600, tr.counts(key("n", "x", "1"), end), 1e-9)
	assert.InDelta(t, 595, tr.counts(key("n", "x", "1"), end.Add(2500*time.Millisecond)), 1e-9, "half of what lies between two moments")
	assert.InDelta(t, 1+2.0/3, tr.quantile(0.5, key("d", "x", "1"), end), 1e-9)
	assert.InDelta(t, 3.92, tr.quantile(0.99, key("d", "x", "1"), end), 1e-9)
}
