package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		stop()
		os.Exit(1)
	}
}

// options are those of all suites.
type options struct {
	observer string // the program under test
	cache    string
	short    bool
	verbose  bool
}

func run(ctx context.Context) error {
	var o options
	flag.StringVar(&o.observer, "observer", "build/redis-observer", "the program under test")
	flag.StringVar(&o.cache, "cache", ".cache/suites", "where the suites are kept")
	flag.BoolVar(&o.short, "short", false, "a selection of each suite")
	flag.BoolVar(&o.verbose, "v", false, "show the output of the suites")
	only := flag.String("only", "", "run the suites whose name matches this regular expression")
	inside := flag.Bool("inside", false, "this is a network namespace of its own; set by the program itself")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if !*inside {
		return again(ctx)
	}
	if err := errors.Join(equip(), o.absolute()); err != nil {
		return err
	}
	ran, failed := 0, 0
	fmt.Println(head)
	for _, s := range suites {
		if !wanted.MatchString(s.name) {
			continue
		}
		ran++
		r, err := o.judge(ctx, s)
		fmt.Print(r)
		if err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n", s.name, err)
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d of %d suites failed", failed, ran)
	case ran == 0:
		return fmt.Errorf("no suite matches %q", *only)
	}
	return nil
}

// again runs this program a second time, in a network namespace of its own: there its ports are free.
func again(ctx context.Context) error {
	c := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"-inside"}, os.Args[1:]...)...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return c.Run()
}

// equip raises the loopback device, and has it swallow what is sent to the address that hiredis takes for a black hole.
func equip() error {
	for _, arguments := range [][]string{{"link", "set", "lo", "up"}, {"route", "add", "192.168.254.254", "dev", "lo"}} {
		if output, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", arguments, err, output)
		}
	}
	return nil
}

// absolute makes paths hold in any folder.
func (o *options) absolute() (err error) {
	for _, path := range []*string{&o.observer, &o.cache} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return nil
}
