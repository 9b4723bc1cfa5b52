// Program matrix runs the conformance test on several kernels, each in a virtual machine, and on the running one, and prints
// which backend works where:
//
//	kernel                      fentry         tracepoint     kprobe
//	5.10.0-32-cloud-amd64       yes, unix yes  no             yes
//	7.2.12+deb14-cloud-amd64    yes, tls yes   yes, tls yes   yes
//
// It is started by run.sh, which makes what it needs. The exit status is 0 only if every kernel ran the whole test, every
// backend that a kernel has to support passed it, and so did every other one that attaches.
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
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// row is a kernel, and what has to work on it.
type row struct {
	kernel   string  // the folder of its vmlinuz
	required string  // backends, separated by commas
	machine  machine // what to emulate
	unix     string  // a word of the kernel's command line by which all backends are tested with Unix sockets, or ""
}

// machine is what QEMU emulates.
type machine struct {
	architecture string   // as QEMU names it
	console      string   // the device, as the kernel names it
	options      []string // of QEMU
}

// QEMU before 8.0 leaves rubbish in the flags behind cmpxchg16b, and an interrupt at that moment crashes the guest: the
// allocator of kernels before 7.0 uses it all the time. Since 6.19 they have no task storage without it (f484f4a3e058).
var withoutCX16 = machine{"x86_64", "ttyS0", []string{"-accel", "tcg,thread=multi", "-cpu", "max,-cx16"}}

// A clock that counts instructions, a nanosecond each, and leaps when there is nothing to do. By it the guest is as fast as a machine is,
// however long the emulation takes. By the time of this machine, programs take many times as long between two ticks of the kernel,
// and a kernel that may preempt them does so as much more often. 5.10 and 6.1 do not start their second CPU with it.
var virtualTime = []string{"-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"}

var withVirtualTime = machine{"x86_64", "ttyS0", append(virtualTime[:len(virtualTime):len(virtualTime)], "-cpu", "max")}

// A CPU that does not sign pointers ("max" does, and in software that takes minutes).
var arm64 = machine{"aarch64", "ttyAMA0", append(virtualTime[:len(virtualTime):len(virtualTime)], "-M", "virt", "-cpu", "neoverse-n1")}

// rows are the kernels of the matrix. The backends are the measured ones: none may get lost.
var rows = []row{
	{kernel: "5.10", required: "fentry,kprobe,fentry/unix", machine: withoutCX16},
	{kernel: "6.1", required: "fentry,kprobe,fentry/tls", machine: withoutCX16},
	{kernel: "6.12", required: "fentry,kprobe,kprobe/unix,fentry/tls", machine: withoutCX16},
	{kernel: "7.2", required: "fentry,tracepoint,kprobe,fentry/tls,tracepoint/tls", machine: withVirtualTime},
	{kernel: "7.2-arm64", required: "fentry,tracepoint,kprobe,fentry/tls", machine: arm64},
}

// backends are the columns of the table.
var backends = []string{"fentry", "tracepoint", "kprobe"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("matrix", flag.ContinueOnError)
	cache := flags.String("cache", ".cache/kernels", "folder of the kernels, the initramfs and the logs")
	allUnix := flags.Bool("unix", false, "test Unix sockets with every backend of every kernel, not only in the rows that require them")
	only := flags.String("only", "", "kernels to run, separated by commas (default: all, and the running one as native)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var results []result
	var errs []error
	for _, r := range append(rows, row{kernel: native}) {
		if *only != "" && !strings.Contains(","+*only+",", ","+r.kernel+",") {
			continue
		}
		if *allUnix {
			r.unix = " unix=all"
		}
		begun := time.Now()
		result, err := r.run(ctx, *cache)
		if err != nil {
			err = fmt.Errorf("kernel %s: %w", r.kernel, err)
			errs = append(errs, err)
			fmt.Fprintf(stderr, "%s\n%s\n", excerpt(r.log(*cache)), err)
		}
		fmt.Fprintf(stderr, "kernel %s: %s after %s, %d boots\n", r.kernel, result.verdict(err), time.Since(begun).Round(time.Second), result.boots)
		results = append(results, result)
	}
	printTable(stdout, results)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return nil
}

// run runs the test and keeps its whole output beside the kernel.
func (r row) run(ctx context.Context, cache string) (result, error) {
	log, err := os.Create(r.log(cache))
	if err != nil {
		return result{kernel: r.kernel}, fmt.Errorf("create log: %w", err)
	}
	defer log.Close()
	if r.kernel == native {
		return runHere(ctx, cache, log)
	}
	return runGuest(ctx, r, cache, log)
}

// log returns the path of the whole output.
func (r row) log(cache string) string { return filepath.Join(cache, r.kernel+".log") }

// excerpt returns the end of a log: who reads of a failure elsewhere does not have the file.
func excerpt(log string) string {
	const most = 80
	text, _ := os.ReadFile(log) // without it the error has to do
	lines := strings.SplitAfter(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "")
}

func printTable(w io.Writer, results []result) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "kernel\t%s\n", strings.Join(backends, "\t"))
	for _, r := range results {
		fmt.Fprint(table, r.kernel)
		for _, backend := range backends {
			outcome := r.outcomes[backend]
			if outcome == "" {
				outcome = "FAIL (not run)"
			}
			for _, way := range []string{"unix", "tls"} {
				if over := r.outcomes[backend+"/"+way]; over != "" {
					outcome += ", " + way + " " + over
				}
			}
			fmt.Fprintf(table, "\t%s", outcome)
		}
		fmt.Fprintln(table)
	}
	table.Flush()
	for _, r := range results {
		for _, backend := range backends {
			if reason := r.reasons[backend]; reason != "" {
				fmt.Fprintf(w, "%s, %s: %s\n", r.kernel, backend, reason)
			}
		}
	}
}
