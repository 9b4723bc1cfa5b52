package main

import (
	"fmt"
	"path"
)

// bar is a limit that a metric of some cases is to keep, in the median.
type bar struct {
	cases  string // a pattern of package path
	metric string
	sense  sense
	limit  float64
}

type sense string

const (
	atLeast sense = "≥"
	atMost  sense = "≤"
	below   sense = "<"
)

// bars are the limits for the observer. The first that applies to a metric is the one that counts.
var bars = []bar{
	{"[gs]et-1mb", throughputKept, atLeast, 0.97},
	{"[gs]et-1mb", copied, below, 2},
	{"[gs]et-p*-server", throughputKept, atLeast, 0.93},
	{"[gs]et-p1", throughputKept, atLeast, 0.95},
	{"[gs]et-p16", throughputKept, atLeast, 0.95},
	{"[gs]et-p1", p99Ratio, atMost, 1.05},
	{"[gs]et-p16", p99Ratio, atMost, 1.05},
	{"[gs]et-p1", cpuPerMillion, atMost, 0.5},
	{"[gs]et-p16", cpuPerMillion, atMost, 0.10},
	{"[gs]et-p*", kernelCall, atMost, 500},
	{"[gs]et-p*", kernelReject, atMost, 30},
	{"unix-get-*", throughputKept, atLeast, 0.93},
	{"unix-get-*", kernelCall, atMost, 500},
	{"unix-get-*", kernelReject, atMost, 50},
	{"tls-get-p1", clientCPU, atMost, 1.25},
	{"tls-get-p1-server", serverCPU, atMost, 1.25},
	{"tls-get-p1-both", clientCPU, atMost, 1.25},
	{"tls-get-p1-both", serverCPU, atMost, 1.25},
	{"tls-get-p16", clientCPU, atMost, 1.08},
	{"tls-get-p16-server", serverCPU, atMost, 1.08},
	{"tls-get-p16-both", clientCPU, atMost, 1.08},
	{"tls-get-p16-both", serverCPU, atMost, 1.08},
	{"unrelated-*", beyondNoise, atMost, 0},
	{"steady-10000", serverCPU, atMost, 1.03},
	{"steady-10000-server", serverCPU, atMost, 1.05},
	{"steady-10000*", ownCPU, atMost, 0.8},
	{"steady-100", ownCPU, atMost, 20}, // 0.2 % of a core
	{"steady-100-server", ownCPU, atMost, 20},
	{"idle", idleCPU, below, 0.2},
	{"idle", resident, below, 40},
	{"connections-idle", resident, below, 60},
	{"connections-active", scrapeTime, below, 50},
	{"*", seen, atLeast, 100},
	{"*", lost, atMost, 0},
}

// judge writes beside each metric of the observer what is asked of it, and whether it is met.
// Of a quick run only counts and losses mean anything.
func (r *result) judge(quick bool) {
	if r.Watcher != theObserver {
		return
	}
	for i := range r.Metrics {
		m := &r.Metrics[i]
		for _, b := range bars {
			if quick && b.metric != lost && b.metric != seen {
				continue
			}
			if matched, _ := path.Match(b.cases, r.Case); matched && b.metric == m.Name {
				m.Bar = fmt.Sprintf("%s %g", b.sense, b.limit)
				m.Met = new(b.holds(m.Median))
				break
			}
		}
		// One wrong run is one too many.
		if m.Name == lost || m.Name == seen {
			m.Met = new(len(r.Faults) == 0)
		}
	}
}

func (b bar) holds(value float64) bool {
	switch b.sense {
	case atLeast:
		return value >= b.limit
	case atMost:
		return value <= b.limit
	default:
		return value < b.limit
	}
}
