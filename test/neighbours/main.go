package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"
)

const (
	observerPort  = 24400
	victimPort    = 24401
	neighbourPort = 24402
)

// shippedLimit is the memory limit of deploy/kubernetes/daemonset.yaml and of the chart.
const shippedLimit = 256 << 20

func main() {
	var o options
	flag.StringVar(&o.program, "observer", "build/redis-observer", "the program under test")
	flag.BoolVar(&o.short, "short", false, "a tenth of the load where a row allows it")
	flag.Int64Var(&o.limit, "limit", shippedLimit, "memory limit of the observer in bytes; 0 for none")
	only := flag.String("only", "", "run the rows whose name matches this regular expression")
	flag.Parse()
	if err := run(o, *only); err != nil {
		fmt.Fprintln(os.Stderr, "neighbours:", err)
		os.Exit(1)
	}
}

// options are those of all rows.
type options struct {
	program string
	short   bool
	limit   int64
}

func run(o options, only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	passed, failed := 0, 0
	for _, r := range rows {
		if !wanted.MatchString(r.name) {
			continue
		}
		started := time.Now()
		result, err := o.play(r)
		verdict := "ok  "
		if err != nil {
			failed++
			verdict = "FAIL"
		} else {
			passed++
		}
		fmt.Printf("%s %-16s %6.1f s  %s\n", verdict, r.name, time.Since(started).Seconds(), result)
		if err != nil {
			fmt.Printf("     %s\n     %v\n", r.what, err)
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	switch {
	case failed > 0:
		return errors.New("a well-behaved client was not counted exactly")
	case passed == 0:
		return fmt.Errorf("no row matches %q", only)
	}
	return nil
}
