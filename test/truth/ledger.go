package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis-observer/redis-observer/test/kit"
)

// count is what was counted of one command.
type count struct {
	total  int
	errors int
}

// ledger is what was counted, by the label of the command.
type ledger map[string]count

func (l ledger) add(label string, total, errors int) {
	c := l[label]
	l[label] = count{c.total + total, c.errors + errors}
}

func (l ledger) sum() (c count) {
	for _, one := range l {
		c.total += one.total
		c.errors += one.errors
	}
	return c
}

// parseCommandStats reads INFO commandstats: all that reached the command, and of it what failed.
func parseCommandStats(info string) (ledger, error) {
	counts, err := kit.ReadCommandStats(info)
	l := ledger{}
	for label, c := range counts {
		l.add(label, int(c.Calls), int(c.Errors))
	}
	return l, err
}

// containers are the commands that Redis 6.0 counts without their subcommand.
var containers = []string{"acl", "client", "cluster", "command", "config", "latency", "memory", "module", "object", "pubsub", "script", "slowlog", "xgroup", "xinfo"}

// folded returns the ledger with subcommands under the name of their container.
func (l ledger) folded() ledger {
	out := ledger{}
	for label, c := range l {
		for _, container := range containers {
			if strings.HasPrefix(label, container+"_") {
				label = container
			}
		}
		out.add(label, c.total, c.errors)
	}
	return out
}

// difference is a command whose counts differ between the two ledgers.
type difference struct {
	label            string
	server, observer count
}

func (d difference) String() string {
	return fmt.Sprintf("%s: server %d (%d errors), observer %d (%d errors)", d.label, d.server.total, d.server.errors, d.observer.total, d.observer.errors)
}

// compare returns what differs beyond what the allowances explain. A server that does not count errors does not count what it
// rejected either: there the total must lie between the observer's successes and its total.
func compare(server, observer ledger, allowed []allowance, countsErrors bool) (differences []difference) {
	if !countsErrors {
		server, observer = server.folded(), observer.folded()
	}
	observer = observer.withoutUnknown(server)
	for _, label := range labelsIn(server, observer) {
		if label == other && !countsErrors {
			continue // nothing is known of what the server refused
		}
		d := difference{label, server[label], observer[label]}
		total, errors := spans(allowed, label)
		surplus := count{d.server.total - d.observer.total, d.server.errors - d.observer.errors}
		if !countsErrors {
			total.low -= d.observer.errors
			surplus.errors, errors = 0, span{}
		}
		if !total.holds(surplus.total) || !errors.holds(surplus.errors) {
			differences = append(differences, d)
		}
	}
	return differences
}

// withoutUnknown returns the ledger with those commands under other that only ever failed and that the server does not count:
// it does not know them, whatever the observer calls them. The server's errors beyond those of known commands are as many.
func (l ledger) withoutUnknown(server ledger) ledger {
	out := ledger{}
	for label, c := range l {
		if _, known := server[label]; !known && c.total == c.errors {
			label = other
		}
		out.add(label, c.total, c.errors)
	}
	return out
}

func labelsIn(ledgers ...ledger) []string {
	all := map[string]bool{}
	for _, l := range ledgers {
		for label := range l {
			all[label] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// other is the label of commands that the observer does not know.
const other = "other"
