package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

const (
	runTime      = 2500 * time.Millisecond // what one run of a load should take
	defaultPairs = 7
)

// options are what the command line says.
type options struct {
	observer string
	against  string // another build of it, "" for none
	with     string // configuration of the other build, or of another observer of this one
	cases    *regexp.Regexp
	pairs    int
	json     string
	quick    bool
	peers    bool
}

// bench is what the cases have in common.
type bench struct {
	options
	redis *redis
}

var errWrong = errors.New("counts are wrong, or something was lost")

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case childArgument:
			exit(runChild(os.Args[2:]))
		case steadyArgument:
			exit(runSteadyChild(os.Args[2:]))
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	exit(run(ctx, os.Args[1:], os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	b := &bench{options: o}
	if b.redis, err = startRedis(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.redis.stop()) }()
	if err := b.preheat(); err != nil {
		return err
	}
	results, err := b.measure(ctx, out)
	if o.json != "" {
		err = errors.Join(err, writeJSON(ctx, o, results))
	}
	if err != nil {
		return err
	}
	return verdict(results)
}

func parse(args []string) (options, error) {
	o := options{peers: os.Getenv("PEERS") == "1"}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	cases := flags.String("cases", "", "run only the cases that this `regexp` matches")
	flags.IntVar(&o.pairs, "pairs", defaultPairs, "pairs of runs of each case")
	flags.StringVar(&o.against, "against", "", "measure another build of the observer in the same rounds, from this `file`")
	flags.StringVar(&o.with, "with", "", "measure an observer with this `YAML` besides in its configuration in the same rounds, of the build -against if that is given")
	flags.StringVar(&o.json, "json", "", "write the results to this `file` too")
	flags.BoolVar(&o.quick, "quick", false, "one short pair of each case: only counts and losses mean anything")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() != 1 {
		return o, errors.New("want the path of redis-observer as the only argument")
	}
	o.observer = flags.Arg(0)
	if o.quick {
		o.pairs = 1
	}
	if o.pairs < 1 {
		return o, errors.New("-pairs: want 1 or more")
	}
	var err error
	if o.cases, err = regexp.Compile(*cases); err != nil {
		return o, fmt.Errorf("-cases: %w", err)
	}
	return o, nil
}

// preheat attaches the observer once, so that what is wrong with it shows before anything is measured.
func (b *bench) preheat() error {
	o, err := attach(b.observer, "client", b.with, tcpAddress(redisPort))
	if err != nil {
		return err
	}
	return o.Stop()
}

// measure runs the cases and prints each result as it comes.
func (b *bench) measure(ctx context.Context, out io.Writer) ([]result, error) {
	table := newTable(out)
	var all []result
	for _, c := range cases() {
		if !b.cases.MatchString(c.name) {
			continue
		}
		results, err := c.measure(ctx, b, c.name)
		for _, r := range results {
			r.judge(b.quick)
			table.add(r)
			all = append(all, r)
		}
		if err != nil {
			return all, fmt.Errorf("case %s: %w", c.name, err)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("-cases: no case matches")
	}
	return all, nil
}

// verdict is an error if any run went wrong; the table says which.
func verdict(results []result) error {
	for _, r := range results {
		if len(r.Faults) > 0 {
			return errWrong
		}
	}
	return nil
}
