package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-observer/redis-observer/test/kit"
)

// snapshot is one scrape: the value of each series, by family and labels as in `redis_pool_connections{name=a,state=in_use}`;
// of a histogram the count.
type snapshot kit.Samples

func series(family string, labels ...string) string {
	slices.Sort(labels)
	return family + "{" + strings.Join(labels, ",") + "}"
}

// value returns one series, 0 if it does not exist.
func (s snapshot) value(family string, labels ...string) int {
	return int(s[series(family, labels...)])
}

// sum adds the series of a family that have all of some labels.
func (s snapshot) sum(family string, labels ...string) int {
	return int(kit.Samples(s).Sum(family, labels...))
}

// counts are numbers of commands by label, without those that are 0.
type counts map[string]int

// commands returns the commands counted under a name, by command.
func (s snapshot) commands(name string) counts {
	c := make(counts)
	for command, n := range kit.Samples(s).By("command", "redis_commands_total", "name="+name) {
		if n > 0 {
			c[command] = int(n)
		}
	}
	return c
}

// since returns what was counted since an earlier moment.
func (c counts) since(before counts) counts {
	d := make(counts)
	for command, n := range c {
		if n -= before[command]; n != 0 {
			d[command] = n
		}
	}
	return d
}

func (c counts) total() int {
	total := 0
	for _, n := range c {
		total += n
	}
	return total
}

// losses returns the series of loss that are not 0.
func (s snapshot) losses() counts {
	lost := make(counts)
	for _, key := range kit.Samples(s).Losses() {
		lost[key] = int(s[key])
	}
	return lost
}

// assertExact checks that nothing was lost and that the families agree with each other.
func assertExact(tb testing.TB, s snapshot) {
	tb.Helper()
	assert.Empty(tb, s.losses(), "counters of loss")
	assert.Equal(tb, s.sum("redis_commands_total"),
		s.sum("redis_command_duration_seconds")+s.sum("redis_observer_silent_commands_total")+
			s.sum("redis_observer_unanswered_commands_total", "reason=client_closed"), "durations")
	assert.Equal(tb, s.sum("redis_commands_total", "status=error"), s.sum("redis_command_errors_total"), "errors")
}

// String lists the series of Redis and of loss that are not 0.
func (s snapshot) String() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if strings.HasPrefix(key, "redis_") && s[key] != 0 {
			fmt.Fprintf(&b, "%s %v\n", key, s[key])
		}
	}
	return b.String()
}
