package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

const statsSwitch = "/proc/sys/kernel/bpf_stats_enabled"

// probes measures the time that the kernel spends in the probes, in two runs of their own, because measuring it costs time
// itself: one in which one end of each connection is observed, and one in which every call is rejected.
//
// A call at the observed end is followed by one at the other end, which is rejected; the time of that one, half of what the second
// run took, is not the observed call's. Beside the second run goes a program that does nothing: what it is measured to take is the measuring,
// which is as much as a rejection and not part of it.
func (p paired) probes(ctx context.Context, b *bench, of observing, n int, r *result) (err error) {
	restore, err := enableStats()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	observed, calls, err := p.probed(ctx, of, n, p.addresses(b)...)
	if err != nil {
		return err
	}
	nothing, err := attachNothing("sched_switch") // which every kernel has and every load passes
	if err != nil {
		return fmt.Errorf("measure the probes: %w", err)
	}
	rejected, _, err := p.probed(ctx, of, n, p.other())
	empty, err2 := nothing.end()
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if calls == 0 || rejected.runs == 0 {
		return errors.New("measure the probes: they did not run")
	}
	r.add(kernelCall, (observed.ns-rejected.ns/2)/calls)
	r.add(kernelReject, (rejected.ns-rejected.runs*empty.ns/empty.runs)/(2*calls))
	r.add(kernelRun, rejected.ns/rejected.runs)
	r.add(emptyRun, empty.ns/empty.runs)
	return nil
}

// nothing is a program that does nothing, on a tracepoint.
type nothing struct {
	program *ebpf.Program
	link    link.Link
}

func attachNothing(tracepoint string) (nothing, error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.RawTracepoint, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return nothing{}, fmt.Errorf("load an empty program: %w", err)
	}
	l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: tracepoint, Program: program})
	if err != nil {
		return nothing{}, errors.Join(fmt.Errorf("attach an empty program: %w", err), program.Close())
	}
	return nothing{program, l}, nil
}

// end detaches it and returns what it was measured to take.
func (n nothing) end() (work, error) {
	stats, err := n.program.Stats()
	if err := errors.Join(err, n.link.Close(), n.program.Close()); err != nil {
		return work{}, fmt.Errorf("detach an empty program: %w", err)
	}
	return work{float64(stats.Runtime), float64(stats.RunCount)}, nil
}

// probed returns what the probes took during one run of the load, and the calls that were observed.
func (p paired) probed(ctx context.Context, of observing, n int, addresses ...string) (took work, calls float64, err error) {
	o, err := attach(of.build, p.role, of.more, addresses...)
	if err != nil {
		return took, 0, err
	}
	defer func() { err = errors.Join(err, o.Stop()) }()
	before, err := programWork(o.PID())
	if err != nil {
		return took, 0, err
	}
	if _, err := p.load.run(ctx, n); err != nil {
		return took, 0, err
	}
	after, err := programWork(o.PID())
	if err != nil {
		return took, 0, err
	}
	if err := settle(o.PID()); err != nil {
		return took, 0, err
	}
	seen, err := o.Scrape()
	return work{after.ns - before.ns, after.runs - before.runs}, seen.Sum("redis_observer_capture_events_total"), err
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
