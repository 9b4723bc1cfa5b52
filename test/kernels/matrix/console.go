package main

import (
	"bufio"
	"io"
	"maps"
	"slices"
	"strings"
)

// result is what a run of the conformance test said.
type result struct {
	kernel   string
	outcomes map[string]string // by backend: yes, no or FAIL
	reasons  map[string]string // why not
	up       bool              // the guest began the test
	status   string            // of the test; "" if it did not come to its end
	boots    int
}

// failed reports whether a backend failed the test, however the run ended.
func (r result) failed() bool {
	return slices.Contains(slices.Collect(maps.Values(r.outcomes)), "FAIL")
}

// verdict says in a word how the run ended.
func (r result) verdict(err error) string {
	if err != nil {
		return "failed"
	}
	return "passed"
}

// readConsole copies a console to log and picks out the lines that the guest's init and the test write for us.
// It calls up when the guest begins the test.
func readConsole(console io.Reader, log io.Writer, kernel string, up func()) result {
	r := result{kernel: kernel, outcomes: make(map[string]string), reasons: make(map[string]string)}
	lines := bufio.NewReader(io.TeeReader(console, log))
	for {
		line, err := lines.ReadString('\n')
		r.read(strings.TrimRight(line, "\r\n"), up)
		if err != nil {
			return r
		}
	}
}

func (r *result) read(line string, up func()) {
	// The firmware leaves control sequences before the first line.
	if _, release, found := strings.Cut(line, "guest: up, "); found {
		r.kernel, r.up = release, true
		up()
	}
	if status, found := strings.CutPrefix(line, "guest: status "); found {
		r.status = status
	}
	if _, fields, found := strings.Cut(line, "CONFORMANCE\t"); found {
		if f := strings.SplitN(fields, "\t", 3); len(f) == 3 {
			r.outcomes[f[0]], r.reasons[f[0]] = f[1], f[2]
		}
	}
}
