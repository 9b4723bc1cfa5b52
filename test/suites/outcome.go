package main

import (
	"encoding/xml"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// outcome is how a test ended.
type outcome string

const (
	passed  outcome = "passed"
	failed  outcome = "failed"
	skipped outcome = "skipped"
	absent  outcome = "" // it did not run
)

// outcomes are those of the tests of a suite, by name.
type outcomes map[string]outcome

// add keeps the outcome of one more test; a second one of the same name has a number too.
func (o outcomes) add(name string, how outcome) {
	unique := name
	for n := 2; o[unique] != absent; n++ {
		unique = fmt.Sprintf("%s #%d", name, n)
	}
	o[unique] = how
}

func (o outcomes) String() string {
	n := map[outcome]int{}
	for _, how := range o {
		n[how]++
	}
	return fmt.Sprintf("%d/%d/%d", n[passed], n[failed], n[skipped])
}

// different returns the names of the tests that ended in another way, or in one of the runs only.
func different(a, b outcomes) []string {
	names := maps.Clone(a)
	maps.Copy(names, b)
	maps.DeleteFunc(names, func(name string, _ outcome) bool { return a[name] == b[name] })
	return slices.Sorted(maps.Keys(names))
}

// parsePytest reads what over_tls.py prints: an outcome and a test in each line.
func parsePytest(output string) outcomes {
	o := outcomes{}
	for line := range strings.Lines(output) {
		if how, name, found := strings.Cut(strings.TrimSpace(line), " "); found {
			switch outcome(how) {
			case passed, failed, skipped:
				o.add(name, outcome(how))
			}
		}
	}
	return o
}

// parseGinkgo reads a report in JUnit's format. What was not chosen is skipped in it without a word, and left out.
func parseGinkgo(report []byte) (outcomes, error) {
	var suites struct {
		Tests []struct {
			Name    string `xml:"name,attr"`
			Status  string `xml:"status,attr"`
			Skipped *struct {
				Message string `xml:"message,attr"`
			} `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(report, &suites); err != nil {
		return nil, err
	}
	o := outcomes{}
	for _, test := range suites.Tests {
		name, isSpec := strings.CutPrefix(test.Name, "[It] ")
		switch {
		case !isSpec:
		case test.Status == "passed":
			o.add(name, passed)
		case test.Status != "skipped":
			o.add(name, failed)
		case test.Skipped != nil && strings.Contains(test.Skipped.Message, " - "):
			o.add(name, skipped)
		}
	}
	return o, nil
}

var (
	tclUnit  = regexp.MustCompile(`^Testing (\S+)`)
	tclTest  = regexp.MustCompile(`^\[(ok|err|skip|ignore)\]: (.*)`)
	tclTail  = regexp.MustCompile(` (?:\(\d+ ms\)|in tests/\S+\.tcl)$`)
	numbered = regexp.MustCompile(` #\d+$`)
)

// parseTcl reads what Redis' runtest prints with one client. A test is named by its unit and its name.
func parseTcl(output string) outcomes {
	o, unit := outcomes{}, ""
	how := map[string]outcome{"ok": passed, "err": failed, "skip": skipped, "ignore": skipped}
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if found := tclUnit.FindStringSubmatch(line); found != nil {
			unit = found[1]
		}
		if found := tclTest.FindStringSubmatch(line); found != nil {
			o.add(unit+": "+tclTail.ReplaceAllString(found[2], ""), how[found[1]])
		}
	}
	return o
}

var (
	hiredisPart = regexp.MustCompile(`^Testing (?:against )?(.*?)(?: \(.*)?:$`)
	hiredisTest = regexp.MustCompile(`^#\d+ (.*?):? *\x1b\[[0-9;]*m(PASSED|FAILED|SKIPPED)`)
)

// parseHiredis reads what hiredis-test prints. A test is named by the connection and its name.
func parseHiredis(output string) outcomes {
	o, part := outcomes{}, ""
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if found := hiredisPart.FindStringSubmatch(line); found != nil {
			part = found[1]
		}
		if found := hiredisTest.FindStringSubmatch(line); found != nil {
			o.add(part+": "+found[1], outcome(strings.ToLower(found[2])))
		}
	}
	return o
}
