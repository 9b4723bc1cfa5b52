package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
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
	observed, calls, err := p.probeTime(ctx, b, n, redisPort)
	if err != nil {
		return err
	}
	rejected, _, err := p.probeTime(ctx, b, n, otherPort)
	if err != nil {
		return err
	}
	if calls == 0 {
		return errors.New("measure the probes: the observer saw no call")
	}
	r.add(kernelCall, (observed-rejected/2)/calls)
	r.add(kernelReject, rejected/(2*calls))
	return nil
}

// probeTime returns the nanoseconds in the probes during one run of the load, and the calls that were observed.
func (p paired) probeTime(ctx context.Context, b *bench, n, port int) (ns, calls float64, err error) {
	o, err := b.attach(ctx, p.role, port)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, o.stop()) }()
	before, err := programTime(o.pid())
	if err != nil {
		return 0, 0, err
	}
	if _, err := p.load.run(ctx, n); err != nil {
		return 0, 0, err
	}
	after, err := programTime(o.pid())
	if err != nil {
		return 0, 0, err
	}
	if err := settle(o.pid()); err != nil {
		return 0, 0, err
	}
	families, err := scrape()
	return float64(after - before), total(families.by("redis_observer_capture_events_total", "")), err
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

// programTime returns the time that the programs took which a process holds.
func programTime(pid int) (time.Duration, error) {
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return 0, fmt.Errorf("find programs: %w", err)
	}
	times := make(map[uint64]uint64) // by program, of which there may be more than one descriptor
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != "anon_inode:bpf-prog" {
			continue
		}
		text, err := os.ReadFile(strings.Replace(link, "/fd/", "/fdinfo/", 1))
		if err != nil {
			return 0, fmt.Errorf("read program statistics: %w", err)
		}
		id, err1 := field(string(text), "prog_id:")
		ns, err2 := field(string(text), "run_time_ns:")
		if err := errors.Join(err1, err2); err != nil {
			return 0, fmt.Errorf("read program statistics: %w", err)
		}
		times[id] = ns
	}
	if len(times) == 0 {
		return 0, errors.New("read program statistics: the process holds no programs")
	}
	var sum uint64
	for _, ns := range times {
		sum += ns
	}
	return time.Duration(sum), nil
}
