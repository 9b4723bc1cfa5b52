package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// options are those of one simulation.
type options struct {
	root     string // of the repository
	nodes    int
	names    int // of the fleet; a node has three fifths of them
	commands int // of each name
	duration time.Duration
	interval time.Duration // of scrapes and of evaluations
	native   bool
}

func main() {
	o := options{root: "../.."}
	flag.IntVar(&o.nodes, "nodes", 200, "number of nodes")
	flag.IntVar(&o.names, "names", 10, "number of names; each node has three fifths of them")
	flag.IntVar(&o.commands, "commands", 12, "commands of each name, at most "+fmt.Sprint(len(loads)))
	flag.DurationVar(&o.duration, "duration", 6*time.Minute, "how long the traffic runs before the queries are timed")
	flag.DurationVar(&o.interval, "interval", 15*time.Second, "scrape and evaluation interval")
	flag.BoolVar(&o.native, "native", false, "native histograms instead of classic ones")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// validate returns an error if the simulation would mean nothing.
func (o options) validate() error {
	switch {
	case o.nodes < 2 || o.names < 1:
		return errors.New("too few nodes or names (use at least -nodes 2 -names 1)")
	case o.commands < 1 || o.commands > len(loads):
		return fmt.Errorf("%d commands (use -commands 1 to %d)", o.commands, len(loads))
	case o.interval < time.Second || o.duration < 10*o.interval:
		return fmt.Errorf("%s are too few intervals of %s (raise -duration to ten intervals, -interval to 1s)", o.duration, o.interval)
	}
	return nil
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	if err := o.validate(); err != nil {
		return err
	}
	panels, err := readPanels(filepath.Join(o.root, "deploy/grafana/redis-observer.json"))
	if err != nil {
		return err
	}
	rules, err := readRules(o.rulesFile())
	if err != nil {
		return err
	}
	f, err := newFleet(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	p, err := startPrometheus(ctx, o, f.addresses())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()

	// Every series is stored at 0 before the traffic begins.
	if err := p.await(kit.StartTime+o.interval, fmt.Sprintf("min(count_over_time(up[%s]) * up) >= 1 and count(up) == %d", duration(10*o.interval), o.nodes)); err != nil {
		return err
	}
	begun := time.Now()
	traffic, stopTraffic := context.WithCancel(ctx)
	defer stopTraffic()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.run(traffic)
	}()
	if err := sleep(ctx, o.duration/4); err != nil {
		return err
	}
	before, err := p.sample()
	if err != nil {
		return err
	}
	if err := sleep(ctx, time.Until(begun.Add(o.duration))); err != nil {
		return err
	}
	after, err := p.sample()
	if err != nil {
		return err
	}
	if err := report(out, o, p, f, before, after); err != nil {
		return err
	}
	if err := reportPanels(out, o, p, panels, rules); err != nil {
		return err
	}
	stopTraffic()
	<-done
	// All are scraped, and the rules evaluated, after the last count.
	if err := sleep(ctx, 2*o.interval+time.Second); err != nil {
		return err
	}
	faults, compared, err := check(o, p, f, panels, rules)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d recorded values compared with what was counted, %d differ\n", compared, len(faults))
	return errors.Join(faults...)
}

// rulesFile is the path of the recording rules.
func (o options) rulesFile() string { return filepath.Join(o.root, "deploy/prometheus/rules.yaml") }

// sleep waits, unless it is interrupted.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// duration writes a duration as Prometheus reads it.
func duration(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
