package main

import (
	"fmt"
	"math"
	"slices"
)

// The metrics of results.
const (
	throughput     = "throughput"       // per second, without a watcher
	throughputKept = "throughput kept"  // with a watcher, divided by the one without in the same round
	p99Ratio       = "p99 ratio"        // likewise
	buildRatio     = "observer / other" // throughput with the observer, divided by that with another build in the same round
	beyondNoise    = "slowdown - noise" // 1 - throughput kept, less how far runs without a watcher lie apart
	cpuPerMillion  = "CPU s/million"    // of the watcher, per million commands
	seen           = "seen %"           // commands, of those that Redis counted
	lost           = "lost"             // faults in counts and loss counters
	copied         = "copied %"         // payload that reached user space, of the bytes that passed
	kernelCall     = "kernel ns/call"   // of the probes, per observed socket call
	kernelReject   = "kernel ns/reject" // of the probes, per rejected socket call
	kernelRun      = "reject ns/run"    // likewise, per run of a probe, of which a call may cause two
	emptyRun       = "empty ns/run"     // likewise of a program that does nothing: the kernel's own two readings of the clock
	idleCPU        = "CPU % of a core"
	resident       = "resident MiB"
	scrapeTime     = "scrape ms"

	// CPU times of redis-server and of the client, divided by those without a watcher in the same round, which has as many commands.
	serverCPU = "server CPU"
	clientCPU = "client CPU"

	// Of steady loads, ratios to the run without a watcher in the same round.
	clientSwitches = "client switches"
	p50Ratio       = "p50 ratio"
	p999Ratio      = "p99.9 ratio"
	ownCPU         = "CPU us/command" // of the watcher
	ownSwitches    = "switches"       // context switches of the watcher in a run
)

// result is what came of a case with one watcher.
type result struct {
	Case     string    `json:"case"`
	Watcher  string    `json:"watcher"`
	Requests int       `json:"requests_per_run,omitempty"`
	Metrics  []metric  `json:"metrics"`
	Faults   []string  `json:"faults,omitempty"`
	Runs     []outcome `json:"runs,omitempty"` // of the watcher and of none, as they were made

	Steady []steadyRun `json:"steady_runs,omitempty"` // likewise
}

// metric is one figure with how far it spreads.
type metric struct {
	Name   string  `json:"name"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Bar    string  `json:"bar,omitempty"`
	Met    *bool   `json:"met,omitempty"` // nil without a bar
}

// add summarises the values of a metric, of which there is at least one.
func (r *result) add(name string, values ...float64) {
	r.Metrics = append(r.Metrics, metric{Name: name, Median: median(values), Min: slices.Min(values), Max: slices.Max(values)})
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// noise returns how far from their median, relative to it, half of the values lie at least.
func noise(values []float64) float64 {
	center := median(values)
	away := make([]float64, len(values))
	for i, v := range values {
		away[i] = math.Abs(v/center - 1)
	}
	return median(away)
}

// compare makes a result of the rounds of a load: of the watcher at index i beside none at index 0 and the observer at index 1.
func compare(name, watcher string, requests int, rounds [][]outcome, i int) result {
	r := result{Case: name, Watcher: watcher, Requests: requests}
	series := func(f func(off, on outcome) float64) []float64 {
		var values []float64
		for _, round := range rounds {
			values = append(values, f(round[0], round[i]))
		}
		return values
	}
	off := series(func(off, _ outcome) float64 { return off.Rate })
	kept := series(func(off, on outcome) float64 { return on.Rate / off.Rate })
	r.add(throughput, off...)
	r.add(throughputKept, kept...)
	r.add(p99Ratio, series(func(off, on outcome) float64 { return float64(on.P99) / float64(off.P99) })...)
	if rounds[0][i].Sent == 0 {
		r.add(beyondNoise, 1-median(kept)-noise(off))
	} else {
		r.add(cpuPerMillion, series(func(_, on outcome) float64 { return on.CPU.Seconds() / on.Sent * 1e6 })...)
		r.add(serverCPU, series(func(off, on outcome) float64 { return float64(on.Server) / float64(off.Server) })...)
	}
	if rounds[0][i].Client > 0 {
		r.add(clientCPU, series(func(off, on outcome) float64 { return float64(on.Client) / float64(off.Client) })...)
	}
	for n, round := range rounds {
		r.Runs = append(r.Runs, round[0], round[i])
		for _, fault := range round[i].Faults {
			r.Faults = append(r.Faults, fmt.Sprintf("pair %d: %s", n+1, fault))
		}
	}
	if watcher == theOther {
		var ratios []float64
		for _, round := range rounds {
			ratios = append(ratios, round[1].Rate/round[i].Rate)
		}
		r.add(buildRatio, ratios...)
	}
	if watcher == theObserver || watcher == theOther {
		r.add(lost, series(func(_, on outcome) float64 { return float64(len(on.Faults)) })...)
		if rounds[0][i].Sent > 0 {
			r.add(seen, series(func(_, on outcome) float64 { return 100 * on.Seen / on.Sent })...)
			r.add(copied, series(func(_, on outcome) float64 { return 100 * on.Copied / on.Passed })...)
		}
	}
	return r
}
