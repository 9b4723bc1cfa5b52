package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const statsSwitch = "/proc/sys/kernel/bpf_stats_enabled"

// probes measures the time that the kernel spends in the probes, in two runs of their own, because measuring it costs time
// itself: one in which one end of each connection is observed, and one in which every call is rejected.
//
// A call at the observed end is followed by one at the other end, which is rejected; the time of that one, half of what the second
// run took, is not the observed call's.
func (p paired) probes(ctx context.Context, b *bench, n int, r *result) (err error) {
	restore, err := enableStats()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	observed, calls, err := p.probed(ctx, b, n, redisPort)
	if err != nil {
		return err
	}
	rejected, _, err := p.probed(ctx, b, n, otherPort)
	if err != nil {
		return err
	}
	if calls == 0 || rejected.runs == 0 {
		return errors.New("measure the probes: they did not run")
	}
	r.add(kernelCall, (observed.ns-rejected.ns/2)/calls)
	r.add(kernelReject, rejected.ns/(2*calls))
	r.add(kernelRun, rejected.ns/rejected.runs)
	return nil
}

// probed returns what the probes took during one run of the load, and the calls that were observed.
func (p paired) probed(ctx context.Context, b *bench, n, port int) (took work, calls float64, err error) {
	o, err := b.attach(ctx, p.role, port)
	if err != nil {
		return took, 0, err
	}
	defer func() { err = errors.Join(err, o.stop()) }()
	before, err := programWork(o.pid())
	if err != nil {
		return took, 0, err
	}
	if _, err := p.load.run(ctx, n); err != nil {
		return took, 0, err
	}
	after, err := programWork(o.pid())
	if err != nil {
		return took, 0, err
	}
	if err := settle(o.pid()); err != nil {
		return took, 0, err
	}
	families, err := scrape()
	return work{after.ns - before.ns, after.runs - before.runs}, total(families.by("redis_observer_capture_events_total", "")), err
}

// enableStats makes the kernel measure its programs, and returns what puts the switch back.
func enableStats() (restore func() error, err error) {
	before, err := os.ReadFile(statsSwitch)
	if err != nil {
		return nil, fmt.Errorf("measure the probes: %w", err)
	}
	if err := os.WriteFile(statsSwitch, []byte("1"), 0); err != nil {
		return nil, fmt.Errorf("measure the probes: %w", err)
	}
	return func() error { return os.WriteFile(statsSwitch, before, 0) }, nil
}

// work is what programs did since they were loaded.
type work struct{ ns, runs float64 }

// programWork returns the work of the programs that a process holds.
func programWork(pid int) (work, error) {
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return work{}, fmt.Errorf("find programs: %w", err)
	}
	programs := make(map[uint64]work) // by ID: a program may have more than one descriptor
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != "anon_inode:bpf-prog" {
			continue
		}
		text, err := os.ReadFile(strings.Replace(link, "/fd/", "/fdinfo/", 1))
		if err != nil {
			return work{}, fmt.Errorf("read program statistics: %w", err)
		}
		id, err1 := field(string(text), "prog_id:")
		ns, err2 := field(string(text), "run_time_ns:")
		runs, err3 := field(string(text), "run_cnt:")
		if err := errors.Join(err1, err2, err3); err != nil {
			return work{}, fmt.Errorf("read program statistics: %w", err)
		}
		programs[id] = work{float64(ns), float64(runs)}
	}
	if len(programs) == 0 {
		return work{}, errors.New("read program statistics: the process holds no programs")
	}
	var sum work
	for _, w := range programs {
		sum.ns += w.ns
		sum.runs += w.runs
	}
	return sum, nil
}
