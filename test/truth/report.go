package main

import (
	"fmt"
	"io"
	"sort"
	"text/tabwriter"
)

// printTable writes one line for each result.
func printTable(out io.Writer, results []result) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "server\ttransport\tclient\trole\tcommands\terrors\tdifferences\tlosses\tseconds\t")
	for _, r := range results {
		verdict := ""
		if r.err != nil {
			verdict = "did not run"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%.1f\t%s\n",
			r.server, r.transport, r.client, r.role, r.commands.total, r.commands.errors, len(r.differences), lost(r.losses), r.took.Seconds(), verdict)
	}
	return t.Flush()
}

// printFaults writes what is wrong with a result, if anything.
func printFaults(out io.Writer, r result) {
	where := fmt.Sprintf("%s × %s over %s (%s)", r.server, r.client, r.transport, r.role)
	if r.err != nil {
		fmt.Fprintf(out, "%s: %v\n", where, r.err)
	}
	for _, d := range r.differences {
		fmt.Fprintf(out, "%s: %s\n", where, d)
	}
	if r.pool != r.connected {
		fmt.Fprintf(out, "%s: connections at the end: server %d, observer %d\n", where, r.connected, r.pool)
	}
	reasons := make([]string, 0, len(r.losses))
	for loss, n := range r.losses {
		reasons = append(reasons, fmt.Sprintf("%s: lost %s: %d", where, loss, n))
	}
	sort.Strings(reasons)
	for _, reason := range reasons {
		fmt.Fprintln(out, reason)
	}
}

// printLeftOut writes which clients some transport does not have, and why.
func printLeftOut(out io.Writer, transports []transport, clients []client) {
	for _, t := range transports {
		for _, c := range clients {
			if reason := t.lacks[c.name]; reason != "" {
				fmt.Fprintf(out, "left out: %s over %s: %s\n", c.name, t.name, reason)
			}
		}
	}
}

func lost(losses map[string]int) (n int) {
	for _, one := range losses {
		n += one
	}
	return n
}
