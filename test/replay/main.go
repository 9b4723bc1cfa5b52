package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// options are what the command line says.
type options struct {
	observer string
	runs     int
	scale    int
	dir      string
}

func main() {
	var err error
	if len(os.Args) == 3 && os.Args[1] == decodeArgument {
		err = decode(os.Args[2])
	} else {
		err = run(os.Args[1:], os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	flags.IntVar(&o.runs, "runs", 7, "runs of each program over each capture")
	flags.IntVar(&o.scale, "divide", 1, "make the captures smaller by this `factor`")
	flags.StringVar(&o.dir, "keep", "", "write the captures to this `directory` and leave them there")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() != 1 || o.runs < 1 || o.scale < 1 {
		return o, errors.New("want the path of redis-observer as the only argument, and positive numbers")
	}
	o.observer = flags.Arg(0)
	return o, nil
}

func run(args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "redis-observer-replay"); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	programs, err := installed(o.observer)
	if err != nil {
		return err
	}
	for _, l := range loads {
		l.rounds = max(1, l.rounds/o.scale)
		file := filepath.Join(o.dir, l.name+".pcap")
		size, err := l.write(file)
		if err != nil {
			return fmt.Errorf("make %s: %w", file, err)
		}
		fmt.Fprintf(out, "%s.pcap: %.0f MB, %d packets, %d commands\n", l.name, float64(size)/1e6, l.packets(), l.commands())
		if err := measure(out, programs, l, file, o.runs); err != nil {
			return err
		}
	}
	return nil
}

// measure runs the programs in turn, so that what else the machine does meets all of them.
func measure(out io.Writer, programs []program, l load, file string, runs int) error {
	times := make([][]time.Duration, len(programs))
	for range runs {
		for i, p := range programs {
			used, err := p.run(file, l)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			times[i] = append(times[i], used)
		}
	}
	for i, p := range programs {
		slices.Sort(times[i])
		best, median := times[i][0], times[i][len(times[i])/2]
		fmt.Fprintf(out, "  %-28s best %6.3f s   median %6.3f s   %5.2f and %5.2f million commands, %5.2f and %5.2f GB per CPU second\n",
			p.name, best.Seconds(), median.Seconds(), l.perSecond(best), l.perSecond(median), l.bytesPerSecond(file, best), l.bytesPerSecond(file, median))
	}
	return nil
}
