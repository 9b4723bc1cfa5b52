package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func mustSummarize(tb testing.TB, lines ...string) (string, bool) {
	tb.Helper()
	var out strings.Builder
	s := &summary{out: &out, output: make(map[string]*strings.Builder), skipped: make(map[string][]string)}
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
