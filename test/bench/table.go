package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const row = "%-20s %-9s %-18s %12s %12s %12s  %-8s %s\n"

// table prints results as they come.
type table struct{ out io.Writer }

func newTable(out io.Writer) table {
	fmt.Fprintf(out, row, "case", "watcher", "metric", "median", "min", "max", "bar", "met")
	return table{out}
}

func (t table) add(r result) {
	for _, m := range r.Metrics {
		met := ""
		if m.Met != nil {
			met = map[bool]string{true: "yes", false: "NO"}[*m.Met]
		}
		fmt.Fprintf(t.out, row, r.Case, r.Watcher, m.Name, figure(m.Median), figure(m.Min), figure(m.Max), m.Bar, met)
	}
	for _, fault := range r.Faults {
		fmt.Fprintf(t.out, "  WRONG: %s\n", fault)
	}
}

// figure prints a number with as many digits as mean something; a share that is almost whole needs more of them.
func figure(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.4f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

// record is the JSON file.
type record struct {
	Time     time.Time `json:"time"`
	Kernel   string    `json:"kernel"`
	CPUs     int       `json:"cpus"`
	Observer string    `json:"observer"` // its version
	Redis    string    `json:"redis"`
	Pairs    int       `json:"pairs"`
	Quick    bool      `json:"quick"`
	Results  []result  `json:"results"`
}

func writeJSON(ctx context.Context, o options, results []result) error {
	data, err := json.MarshalIndent(record{
		Time: time.Now().UTC(), Kernel: kernelRelease(), CPUs: runtime.NumCPU(),
		Observer: versionOf(ctx, o.observer, "version"), Redis: versionOf(ctx, "redis-server", "--version"),
		Pairs: o.pairs, Quick: o.quick, Results: results,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.WriteFile(o.json, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

func versionOf(ctx context.Context, name, argument string) string {
	output, err := exec.CommandContext(ctx, name, argument).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(output))
}

func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}
