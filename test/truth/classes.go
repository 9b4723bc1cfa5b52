package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	table "github.com/redis-observer/redis-observer/internal/command"
)

// classes are error replies by their prefix.
type classes map[string]int

// less returns what was counted since an earlier count.
func (c classes) less(before classes) classes {
	since := classes{}
	for prefix, n := range c {
		if n -= before[prefix]; n != 0 {
			since[prefix] = n
		}
	}
	return since
}

// parseErrorStats reads INFO errorstats. Prefixes that are not in the observer's table count as other.
func parseErrorStats(info string) (classes, error) {
	counted := classes{}
	for line := range strings.Lines(info) {
		entry, found := strings.CutPrefix(strings.TrimSpace(line), "errorstat_")
		if !found {
			continue
		}
		prefix, value, found := strings.Cut(entry, ":count=")
		n, err := strconv.Atoi(value)
		if !found || err != nil {
			return nil, fmt.Errorf("not an error's count: %q", line)
		}
		counted[classOf(prefix)] += n
	}
	return counted, nil
}

// classOf returns the label of a prefix.
func classOf(prefix string) string { return table.LookupPrefix([]byte(prefix + " ")).String() }

// compareClasses returns which prefixes differ. An exception says by how much the errors of a command may differ, and not with
// which prefix: so each may by as much as all together.
func compareClasses(server, observer classes, allowed []allowance) (differences []fmt.Stringer) {
	all := span{}
	for _, a := range allowed {
		all = span{all.low + min(0, a.errors.low), all.high + max(0, a.errors.high)}
	}
	prefixes := maps.Clone(server)
	maps.Copy(prefixes, observer)
	for _, prefix := range slices.Sorted(maps.Keys(prefixes)) {
		differences = append(differences, compareCounts("error prefix "+prefix, server[prefix], observer[prefix], all)...)
	}
	return differences
}
