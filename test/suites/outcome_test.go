package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-observer/redis-observer/test/kit"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name   string
		parse  func(string) outcomes
		output string
		want   outcomes
	}{
		{"pytest", parsePytest, "passed tests/test_a.py::test_b[x y]\nskipped tests/test_a.py::test_c\nfailed tests/test_a.py::test_d\n",
			outcomes{"tests/test_a.py::test_b[x y]": passed, "tests/test_a.py::test_c": skipped, "tests/test_a.py::test_d": failed}},
		{"runtest", parseTcl, "Testing unit/quit\n[ok]: QUIT returns OK (12 ms)\n[ok]: twice (1 ms)\n[err]: twice in tests/unit/quit.tcl\nExpected 'a'\n" +
			"Testing unit/multi\n[ignore]: repl (needs:repl): Tag\n[skip]: one\n[1/2 done]: unit/quit (1 seconds)\n",
			outcomes{"unit/quit: QUIT returns OK": passed, "unit/quit: twice": passed, "unit/quit: twice #2": failed,
				"unit/multi: repl (needs:repl): Tag": skipped, "unit/multi: one": skipped}},
		{"hiredis", parseHiredis, "#01 Format: \x1b[0;32mPASSED\x1b[0;0m\n\nTesting against SSL connection (127.0.0.1:24500):\n#02 Can parse nil replies: \x1b[0;31mFAILED\x1b[0;0m\n" +
			"Testing against inherited fd (none): \x1b[01;33mSKIPPED\x1b[0;0m\n#03 Throughput:\n",
			outcomes{": Format": passed, "SSL connection: Can parse nil replies": failed}},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, test.parse(test.output)) })
	}
}

func TestParseGinkgo(t *testing.T) {
	found, err := parseGinkgo([]byte(`<testsuites><testsuite>
		<testcase name="[BeforeSuite]" status="passed"></testcase>
		<testcase name="[It] Commands should Ping" status="passed"></testcase>
		<testcase name="[It] Commands should Wait" status="panicked"></testcase>
		<testcase name="[It] Commands not chosen" status="skipped"><skipped message="skipped"></skipped></testcase>
		<testcase name="[It] Commands too new" status="skipped"><skipped message="skipped - too new"></skipped></testcase>
	</testsuite></testsuites>`))
	require.NoError(t, err)
	assert.Equal(t, outcomes{"Commands should Ping": passed, "Commands should Wait": failed, "Commands too new": skipped}, found)
}

func TestDifferent(t *testing.T) {
	assert.Empty(t, different(outcomes{"a": passed, "b": failed}, outcomes{"a": passed, "b": failed}))
	assert.Equal(t, []string{"a", "b", "c", "d"},
		different(outcomes{"a": passed, "b": skipped, "c": passed, "e": passed}, outcomes{"a": failed, "b": passed, "d": passed, "e": passed}))
}

func TestDifferences(t *testing.T) {
	type counts = map[string]kit.Count
	script := kit.Count{Calls: 1}
	for _, test := range []struct {
		name        string
		truth, seen counts
		faults      int
		notes       int
		givenUp     float64
	}{
		{"equal", counts{"get": {Calls: 3, Errors: 1}}, counts{"get": {Calls: 3, Errors: 1}}, 0, 0, 0},
		{"too few", counts{"get": {Calls: 3}}, counts{"get": {Calls: 2}}, 1, 0, 0},
		{"not seen", counts{"get": {Calls: 3}}, counts{}, 1, 0, 0},
		{"too many", counts{"get": {Calls: 3}}, counts{"get": {Calls: 4}}, 1, 0, 0},
		{"other errors", counts{"get": {Calls: 3}}, counts{"get": {Calls: 3, Errors: 1}}, 1, 0, 0},
		{"in scripts", counts{"get": {Calls: 3}, "eval": script}, counts{"get": {Calls: 2}, "eval": script}, 0, 1, 0},
		{"too many beside scripts", counts{"get": {Calls: 3}, "eval": script}, counts{"get": {Calls: 4}, "eval": script}, 1, 0, 0},
		{"unknown to Redis", counts{}, counts{"other": {Calls: 3, Errors: 3}}, 0, 1, 0},
		{"given up", counts{"get": {Calls: 3}}, counts{"get": {Calls: 5}}, 0, 1, 2},
		{"more than given up in all", counts{}, counts{"get": {Calls: 2}, "set": {Calls: 1}}, 1, 1, 2},
		{"more than given up", counts{"get": {Calls: 3}}, counts{"get": {Calls: 6}}, 1, 0, 2},
		{"unblocked", counts{"blpop": {Calls: 3, Errors: 1}, "client_unblock": {Calls: 1}}, counts{"blpop": {Calls: 3}, "client_unblock": {Calls: 1}}, 0, 1, 0},
		{"more than unblocked", counts{"blpop": {Calls: 3, Errors: 2}, "client_unblock": {Calls: 1}}, counts{"blpop": {Calls: 3}, "client_unblock": {Calls: 1}}, 1, 0, 0},
		{"a debugger's error", counts{"debug": {Calls: 3}}, counts{"debug": {Calls: 3, Errors: 3}}, 0, 1, 0},
		{"not refused", counts{}, counts{"get": {Calls: 3, Errors: 2}}, 1, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			faults, notes := differences(test.truth, test.seen, test.givenUp)
			assert.Len(t, faults, test.faults)
			assert.Len(t, notes, test.notes)
		})
	}
}
