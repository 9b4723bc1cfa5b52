package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/redis-observer/redis-observer/test/kit/resp"
)

// lookups are the keys that commands read, found and missed: keyspace_hits and keyspace_misses.
type lookups struct{ hits, misses int }

func (l lookups) less(m lookups) lookups { return lookups{l.hits - m.hits, l.misses - m.misses} }

func (l lookups) plus(m lookups) lookups { return lookups{l.hits + m.hits, l.misses + m.misses} }

// lookups returns what the server counted.
func (a *admin) lookups() (l lookups, err error) {
	if l.hits, err = a.number("INFO stats", "keyspace_hits"); err != nil {
		return l, err
	}
	l.misses, err = a.number("INFO stats", "keyspace_misses")
	return l, err
}

// plainReads look up one key, and answer null if and only if it is missing.
var plainReads = []string{"dump", "get", "getdel", "getex", "getset"}

// uncountedNulls are the commands of the libraries' rows whose nulls are those of the exception nullUncounted.
var uncountedNulls = []string{"blpop", "exec", "fcall", "lpop", "set", "spop"}

// compareNulls compares the keys that were missed with the nulls. byCommand is nil where it is not known who missed how many:
// then all are compared together.
func compareNulls(all lookups, byCommand map[string]lookups, seen sighting, allowed []allowance) (differences []fmt.Stringer) {
	compare := func(what string, server, observer int, s span) {
		differences = append(differences, compareCounts(what, server, observer, s)...)
	}
	more := map[string]span{}
	for _, a := range allowed {
		more[a.label] = more[a.label].plus(a.misses)
	}
	if byCommand == nil {
		nulls, surplus := 0, span{}
		for label, n := range seen.nulls {
			if !slices.Contains(uncountedNulls, label) {
				nulls += n
			}
		}
		for _, s := range more {
			surplus = surplus.plus(s)
		}
		compare("keys missed, and nulls", all.misses, nulls, surplus)
		return differences
	}
	labels := map[string]bool{}
	var sum lookups
	for label, l := range byCommand {
		labels[label], sum = true, sum.plus(l)
	}
	for label := range seen.nulls {
		labels[label] = true
	}
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		compare("keys missed, and nulls, of "+label, byCommand[label].misses, seen.nulls[label], more[label])
		if c := seen.commands[label]; slices.Contains(plainReads, label) {
			compare("keys found, and replies but nulls, of "+label, byCommand[label].hits, c.total-c.errors-seen.nulls[label], span{})
		}
	}
	compare("keys found, and of each command", all.hits, sum.hits, span{})
	compare("keys missed, and of each command", all.misses, sum.misses, span{})
	return differences
}

// allowMisses grants an exception: the server may have missed so many more keys than there were nulls.
func (r *round) allowMisses(e exception, label string, misses span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.allowed = append(r.allowed, allowance{exception: e, label: label, misses: misses})
}

// nullsIn counts nulls as the observer does: replies, and elements of replies.
func nullsIn(replies []resp.Reply) (n int) {
	for _, reply := range replies {
		if reply.Null {
			n++
		}
		for _, element := range reply.Elements {
			if element.Null {
				n++
			}
		}
	}
	return n
}
