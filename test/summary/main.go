// Program summary reads what `go test -json` writes. It prints the result of each package and the whole output of tests that failed,
// and at the end which tests took longest, and which were skipped and why: a run that skips tests must not look like a complete one. It fails if a test or a build failed.
//
//	go test -json ./... | summary
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// event is a line of test2json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds, of a test that ended
}

// name returns the name of the test behind that of its package.
func (e *event) name() string { return e.Package[strings.LastIndex(e.Package, "/")+1:] + "." + e.Test }

func main() {
	s := &summary{out: os.Stdout, output: make(map[string]*strings.Builder), skipped: make(map[string][]string)}
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(1)
	}
	s.end()
	if s.failed {
		os.Exit(1)
	}
}

// summary is what is known of a run so far.
type summary struct {
	out     io.Writer
	output  map[string]*strings.Builder // of tests that have not ended, by package and name
	skipped map[string][]string         // tests by reason
	took    []took                      // whole tests, without those that they have inside
	tests   int
	failed  bool
}

// took is how long a test took.
type took struct {
	test    string
	seconds float64
}

// slowest is how many tests are named that took longest, and shortest what is not worth a line, in seconds.
const slowest, shortest = 10, 5

func (s *summary) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			s.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

func (s *summary) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintf(s.out, "%s", line) // of the go command itself
		return
	}
	s.take(&e)
}

func (s *summary) take(e *event) {
	key := e.Package + " " + e.Test
	if e.Action == "fail" || e.Action == "build-fail" {
		s.failed = true
	}
	switch {
	case e.Action == "build-output", e.Action == "output" && e.Test == "":
		if e.Output != "PASS\n" && !strings.HasPrefix(e.Output, "?") {
			fmt.Fprint(s.out, e.Output)
		}
	case e.Test == "":
	case e.Action == "output":
		if s.output[key] == nil {
			s.output[key] = new(strings.Builder)
		}
		s.output[key].WriteString(e.Output)
	case e.Action == "pass", e.Action == "fail", e.Action == "skip":
		s.tests++
		text := ""
		if s.output[key] != nil {
			text = s.output[key].String()
		}
		delete(s.output, key)
		if e.Action == "fail" {
			fmt.Fprint(s.out, text)
		}
		if e.Action == "skip" {
			reason := reasonOf(text)
			s.skipped[reason] = append(s.skipped[reason], e.name())
		}
		if !strings.Contains(e.Test, "/") && e.Elapsed >= shortest {
			s.took = append(s.took, took{e.name(), e.Elapsed})
		}
	}
}

// place is the position of a message of a test.
var place = regexp.MustCompile(`(?m)^\s*\w+\.go:\d+: `)

// reasonOf returns the reason that a skipped test gave.
func reasonOf(output string) string {
	var reason []string
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "=== ") || strings.Contains(line, "--- SKIP") {
			continue
		}
		reason = append(reason, strings.TrimSpace(place.ReplaceAllString(line, "")))
	}
	if len(reason) == 0 {
		return "no reason is given"
	}
	return strings.Join(reason, " ")
}

// end prints the skipped tests, and the output of tests that did not end.
func (s *summary) end() {
	for test, output := range s.output {
		fmt.Fprintf(s.out, "%s did not end:\n%s", test, output)
		s.failed = true
	}
	slices.SortStableFunc(s.took, func(a, b took) int { return cmp.Compare(b.seconds, a.seconds) })
	for i, t := range s.took[:min(len(s.took), slowest)] {
		if i == 0 {
			fmt.Fprint(s.out, "\nthe slowest, with what waited for others that run at the same time:\n")
		}
		fmt.Fprintf(s.out, "%6.0f s  %s\n", t.seconds, t.test)
	}
	skipped := 0
	var reasons []string
	for reason, tests := range s.skipped {
		skipped += len(tests)
		reasons = append(reasons, reason)
	}
	fmt.Fprintf(s.out, "\n%d tests, %d skipped\n", s.tests, skipped)
	slices.Sort(reasons)
	for _, reason := range reasons {
		fmt.Fprintf(s.out, "  %d: %s\n     %s\n", len(s.skipped[reason]), reason, strings.Join(s.skipped[reason], " "))
	}
}
