// Program summary reads what `go test -json` writes. It prints the result of each package and the whole output of tests that failed,
// and at the end which tests took longest, and which were skipped and why: a run that skips tests must not look like a complete one.
// The last lines name what failed, for readers of a log of which only the end is kept. It fails if a test or a build failed.
//
//	go test -json ./... | summary
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// event is a line of test2json.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string  // instead of Package, of a build
	Elapsed                       float64 // seconds, of a test that ended
}

// name returns the name of the test behind that of its package.
func (e *event) name() string { return e.Package[strings.LastIndex(e.Package, "/")+1:] + "." + e.Test }

// key tells tests, packages and builds apart.
func (e *event) key() string { return cmp.Or(e.Package, e.ImportPath) + " " + e.Test }

func main() {
	s := newSummary(os.Stdout)
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
	output  map[string]*strings.Builder // of tests, packages and builds that have not ended, by key
	skipped map[string][]string         // tests by reason
	took    []took                      // whole tests, without those that they have inside
	faults  []fault                     // without tests and packages that failed because of one inside
	tests   int
	failed  bool
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, output: make(map[string]*strings.Builder), skipped: make(map[string][]string)}
}

// took is how long a test took.
type took struct {
	test    string
	seconds float64
}

// fault is a test, a package or a build that failed.
type fault struct{ key, name, output string }

// detailed is of how many faults the end repeats the output, and lastLines how much of it.
const detailed, lastLines = 3, 20

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
	switch e.Action {
	case "output", "build-output":
		if s.output[e.key()] == nil {
			s.output[e.key()] = new(strings.Builder)
		}
		s.output[e.key()].WriteString(e.Output)
		if e.Test == "" && e.Output != "PASS\n" && !strings.HasPrefix(e.Output, "?") {
			fmt.Fprint(s.out, e.Output)
		}
	case "pass", "fail", "skip", "build-fail":
		s.finish(e)
	}
}

// finish takes the end of a test, a package or a build.
func (s *summary) finish(e *event) {
	text := ""
	if output := s.output[e.key()]; output != nil {
		text = output.String()
	}
	delete(s.output, e.key())
	if e.Action == "fail" || e.Action == "build-fail" {
		s.fail(e, text)
	}
	if e.Test == "" {
		return
	}
	s.tests++
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

// fail notes a failure, unless what failed has one inside that is known: a test ends behind its subtests, a package behind its tests.
func (s *summary) fail(e *event, text string) {
	s.failed = true
	inside := e.key()
	if e.Test == "" {
		s.unfinished(inside)
	} else {
		inside += "/"
	}
	if slices.ContainsFunc(s.faults, func(f fault) bool { return strings.HasPrefix(f.key, inside) }) {
		return
	}
	name := e.name()
	if e.Test == "" {
		name = cmp.Or(e.Package, e.ImportPath)
	}
	s.faults = append(s.faults, fault{e.key(), name, text})
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

// end prints the output of tests that did not end, the slowest tests, the skipped ones, and last what failed.
func (s *summary) end() {
	s.unfinished("")
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
	s.repeat()
}

// unfinished prints the output of tests that did not end, of one package or, for "", of all.
func (s *summary) unfinished(prefix string) {
	keys := slices.Sorted(maps.Keys(s.output))
	for _, key := range slices.Backward(keys) { // a test behind its subtests
		importPath, test, _ := strings.Cut(key, " ")
		if test == "" || !strings.HasPrefix(key, prefix) {
			continue
		}
		text := s.output[key].String()
		delete(s.output, key)
		fmt.Fprintf(s.out, "%s did not end:\n%s", key, text)
		s.failed = true
		if !strings.HasSuffix(text, "=== PAUSE "+test+"\n") { // those waited for their turn
			s.fail(&event{Package: importPath, Test: test}, text)
		}
	}
}

// repeat prints the names of what failed, below the end of the output of the first ones.
func (s *summary) repeat() {
	var names []string
	for i, f := range s.faults {
		names = append(names, f.name)
		if i < detailed {
			lines := slices.Collect(strings.Lines(f.output))
			fmt.Fprintf(s.out, "\n%s ended with:\n%s\n", f.name, strings.TrimRight(strings.Join(lines[max(0, len(lines)-lastLines):], ""), "\n"))
		}
	}
	if len(names) > 0 {
		fmt.Fprintf(s.out, "\nfailed: %s\n", strings.Join(names, " "))
	}
}
