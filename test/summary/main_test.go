package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func mustSummarize(tb testing.TB, lines ...string) (string, bool) {
	tb.Helper()
	var out strings.Builder
	s := newSummary(&out)
	require.NoError(tb, s.read(strings.NewReader(strings.Join(lines, "\n"))))
	s.end()
	return out.String(), s.failed
}

func TestSummary(t *testing.T) {
	out, failed := mustSummarize(t,
		`{"Action":"run","Package":"a/b","Test":"TestA"}`,
		`{"Action":"output","Package":"a/b","Test":"TestA","Output":"=== RUN   TestA\n"}`,
		`{"Action":"output","Package":"a/b","Test":"TestA","Output":"    a_test.go:7: needs root\n"}`,
		`{"Action":"output","Package":"a/b","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}`,
		`{"Action":"skip","Package":"a/b","Test":"TestA"}`,
		`{"Action":"output","Package":"a/b","Test":"TestB","Output":"chatter\n"}`,
		`{"Action":"pass","Package":"a/b","Test":"TestB"}`,
		`{"Action":"output","Package":"a/b","Output":"PASS\n"}`,
		`{"Action":"output","Package":"a/b","Output":"ok  \ta/b\t0.1s\n"}`,
		`{"Action":"pass","Package":"a/b"}`,
	)
	assert.False(t, failed)
	assert.Equal(t, "ok  \ta/b\t0.1s\n\n2 tests, 1 skipped\n  1: needs root\n     b.TestA\n", out)
}

func TestFailures(t *testing.T) {
	for name, lines := range map[string][]string{
		"a test": {
			`{"Action":"output","Package":"a","Test":"TestA","Output":"wrong\n"}`,
			`{"Action":"fail","Package":"a","Test":"TestA"}`,
		},
		"a build": {
			`{"ImportPath":"a","Action":"build-output","Output":"wrong\n"}`,
			`{"ImportPath":"a","Action":"build-fail"}`,
		},
		"a process that died":      {`{"Action":"output","Package":"a","Test":"TestA","Output":"wrong\n"}`},
		"a package, by its output": {`{"Action":"output","Package":"a","Output":"wrong\n"}`, `{"Action":"fail","Package":"a"}`},
	} {
		out, failed := mustSummarize(t, lines...)
		assert.True(t, failed, name)
		assert.Contains(t, out, "wrong\n", name)
	}
}

func TestSlowest(t *testing.T) {
	out, _ := mustSummarize(t,
		`{"Action":"pass","Package":"a/b","Test":"TestA/inside","Elapsed":30}`,
		`{"Action":"pass","Package":"a/b","Test":"TestA","Elapsed":31.2}`,
		`{"Action":"pass","Package":"a/b","Test":"TestB","Elapsed":4.9}`,
		`{"Action":"fail","Package":"a/c","Test":"TestC","Elapsed":60}`,
	)
	assert.Contains(t, out, "at the same time:\n    60 s  c.TestC\n    31 s  b.TestA\n\n4 tests, 0 skipped\n")
}

// A reader of a log of which only the end is kept learns what failed.
func TestFailuresAtTheEnd(t *testing.T) {
	var chatter strings.Builder
	for i := range 25 {
		fmt.Fprintf(&chatter, `{"Action":"output","Package":"a/b","Test":"TestA/x","Output":"line %d\n"}`+"\n", i)
	}
	out, failed := mustSummarize(t,
		chatter.String(),
		`{"Action":"fail","Package":"a/b","Test":"TestA/x"}`,
		`{"Action":"output","Package":"a/b","Test":"TestA","Output":"--- FAIL: TestA\n"}`,
		`{"Action":"fail","Package":"a/b","Test":"TestA"}`,
		`{"Action":"output","Package":"a/b","Test":"TestAfter","Output":"not as wanted\n"}`,
		`{"Action":"fail","Package":"a/b","Test":"TestAfter"}`,
		`{"Action":"output","Package":"a/b","Test":"TestKilled","Output":"=== RUN   TestKilled\n"}`,
		`{"Action":"output","Package":"a/b","Test":"TestWaiting","Output":"=== RUN   TestWaiting\n"}`,
		`{"Action":"output","Package":"a/b","Test":"TestWaiting","Output":"=== PAUSE TestWaiting\n"}`,
		`{"Action":"output","Package":"a/b","Output":"FAIL\ta/b\t2s\n"}`,
		`{"Action":"fail","Package":"a/b"}`,
		`{"Action":"output","Package":"a/c","Output":"exit status 7\n"}`,
		`{"Action":"fail","Package":"a/c"}`,
		`{"ImportPath":"a/d [a/d.test]","Action":"build-output","Output":"undefined: x\n"}`,
		`{"ImportPath":"a/d [a/d.test]","Action":"build-fail"}`,
		`{"Action":"fail","Package":"a/d","FailedBuild":"a/d [a/d.test]"}`,
		`{"ImportPath":"a/e","Action":"build-output","Output":"a warning\n"}`,
		`{"Action":"output","Package":"a/e","Test":"TestE","Output":"    e_test.go:1: no root\n"}`,
		`{"Action":"skip","Package":"a/e","Test":"TestE"}`,
		`{"Action":"pass","Package":"a/e"}`,
	)
	assert.True(t, failed)
	var lines []string
	for i := range 25 {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	assert.Contains(t, out, strings.Join(lines, "\n"), "whole, where it failed")
	assert.Contains(t, out, "a/b TestWaiting did not end:\n")
	_, end, found := strings.Cut(out, "\n4 tests, 1 skipped\n  1: no root\n     e.TestE\n")
	require.True(t, found, out)
	assert.Equal(t, "\nb.TestA/x ended with:\n"+strings.Join(lines[5:], "\n")+"\n"+
		"\nb.TestAfter ended with:\nnot as wanted\n"+
		"\nb.TestKilled ended with:\n=== RUN   TestKilled\n"+
		"\nfailed: b.TestA/x b.TestAfter b.TestKilled a/c a/d [a/d.test]\n", end)
}
