package report

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"
)

// interval holds the changes between two samples of each of several observers.
type interval struct {
	commands map[Key]*rated
	pools    map[Key]Pool
}

// rated is a tally of an interval.
type rated struct {
	tally
	rate, failing float64 // per second
	busy          float64 // seconds of the commands that do not wait
}

// between adds the changes from before to after, of one observer, to the interval. Without before,
// or after a restart, nothing is known of the interval but the connections.
func (i *interval) between(before, after *Sample) {
	if i.commands == nil {
		i.commands, i.pools = map[Key]*rated{}, map[Key]Pool{}
	}
	maps.Copy(i.pools, after.pools)
	if before == nil || after.restarted(before) {
		return
	}
	seconds := after.At.Sub(before.At).Seconds()
	for key, t := range after.commands {
		if d := t.minus(before.commands[key]); d.count > 0 {
			i.commands[key] = &rated{*d, d.count / seconds, d.errors / seconds, 0}
		}
	}
}

// Between returns the rows of the time between two samples of one observer, and how many seconds that
// is. Without the earlier one they are those since its start; 0 seconds if that is not known.
func Between(before, after *Sample, by By) (lines []Line, seconds float64) {
	if before == nil && !after.Started.IsZero() {
		before = &Sample{At: after.Started, Started: after.Started}
	}
	var i interval
	i.between(before, after)
	if before != nil {
		seconds = after.At.Sub(before.At).Seconds()
	}
	if lines = i.lines(by); lines == nil {
		lines = []Line{}
	}
	return lines, seconds
}

// sortLosses orders losses: what caused others first, of these the largest; what is harmless last.
func sortLosses(list []Loss) {
	slices.SortFunc(list, func(a, b Loss) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.Share, a.Share), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text))
	})
}

// By selects the fields of Key that separate rows.
type By struct{ Node, Name, Labels, Command bool }

// Line is a row of an interval.
type Line struct {
	Key
	Count         float64 // commands in the interval
	Rate, Errors  float64 // per second
	Share         float64 // of the time that all commands took, without those that wait, 0 to 1
	Waits         bool    // all of its commands wait for data, such as BLPOP
	P50, P90, P99 time.Duration
	Max           time.Duration // bound of the highest bucket in use; negative above all bounds
	Pool          *Pool         // connections; nil if the row is not of one name
}

// SlowFrom is the median duration from which on a row is slow.
const SlowFrom = 10 * time.Millisecond

// FewCommands is the number of commands below which quantiles say little.
const FewCommands = 20

// Slow reports whether most of the commands of a row were slow. One slow command among many makes
// others slow that wait behind it, but not most of them.
func (l *Line) Slow() bool { return l.Command != "" && !l.Waits && l.P50 >= SlowFrom }

// Few reports whether the quantiles of a row are those of few commands.
func (l *Line) Few() bool { return l.Count < FewCommands }

// MarshalJSON returns the row with durations in seconds, and null for a maximum above all bounds.
func (l Line) MarshalJSON() ([]byte, error) {
	var highest *float64
	if bound := l.Max.Seconds(); bound >= 0 {
		highest = &bound
	}
	return json.Marshal(struct {
		Node    string   `json:"node,omitempty"`
		Name    string   `json:"name"`
		Labels  string   `json:"labels,omitempty"`
		Command string   `json:"command"`
		Count   float64  `json:"count"`
		Rate    float64  `json:"rate"`
		Errors  float64  `json:"errors"`
		Share   float64  `json:"share"`
		Waits   bool     `json:"waits,omitempty"`
		P50     float64  `json:"p50"`
		P90     float64  `json:"p90"`
		P99     float64  `json:"p99"`
		Max     *float64 `json:"max"`
		Slow    bool     `json:"slow,omitempty"`
		Pool    *Pool    `json:"pool,omitempty"`
	}{l.Node, l.Name, l.Labels, l.Command, l.Count, l.Rate, l.Errors, l.Share, l.Waits, l.P50.Seconds(), l.P90.Seconds(), l.P99.Seconds(), highest, l.Slow(), l.Pool})
}

// lines returns the rows of the interval, ordered by key: one for each command that completed, and
// one for each name with connections but without commands.
func (i *interval) lines(by By) []Line {
	groups, pools, whole := map[Key]*rated{}, map[Key]*Pool{}, 0.0
	for key, r := range i.commands {
		group := by.of(key)
		if groups[group] == nil {
			groups[group] = new(rated)
		}
		g := groups[group]
		busy := r.seconds
		if waiting[key.Command] {
			busy = 0
		}
		*g = rated{*g.plus(&r.tally), g.rate + r.rate, g.failing + r.failing, g.busy + busy}
		whole += busy
	}
	for key, pool := range i.pools {
		group := by.of(key)
		if pools[group] == nil {
			pools[group] = new(Pool)
		}
		pools[group].InUse += pool.InUse
		pools[group].Available += pool.Available
	}
	var lines []Line
	active := map[Key]bool{}
	for key, g := range groups {
		of := key
		of.Command = ""
		active[of] = true
		line := g.line(key, whole)
		if by.Name {
			line.Pool = pools[of]
		}
		lines = append(lines, line)
	}
	for key, pool := range pools {
		if by.Name && !active[key] && pool.InUse+pool.Available > 0 {
			lines = append(lines, Line{Key: key, Pool: pool})
		}
	}
	slices.SortFunc(lines, func(a, b Line) int { return a.Compare(b.Key) })
	return lines
}

// Compare orders keys.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Node, other.Node), cmp.Compare(k.Name, other.Name), cmp.Compare(k.Labels, other.Labels), cmp.Compare(k.Command, other.Command))
}

func (b By) of(key Key) Key {
	if !b.Node {
		key.Node = ""
	}
	if !b.Name {
		key.Name = ""
	}
	if !b.Labels {
		key.Labels = ""
	}
	if !b.Command {
		key.Command = ""
	}
	return key
}

func (r *rated) line(key Key, whole float64) Line {
	line := Line{Key: key, Count: r.count, Rate: r.rate, Errors: r.failing}
	if whole > 0 {
		line.Share = r.busy / whole
	}
	line.Waits = r.busy == 0 && r.seconds > 0
	if total(r.buckets) > 0 {
		line.P50, line.P90, line.P99 = quantileOf(r.buckets, 0.5), quantileOf(r.buckets, 0.9), quantileOf(r.buckets, 0.99)
		line.Max = highestOf(r.buckets)
	}
	return line
}

// waiting are the labels of the commands that wait for data as long as their caller allows. Their
// time says nothing about the server. XREAD and XREADGROUP may wait, too.
var waiting = map[string]bool{
	"blpop": true, "brpop": true, "brpoplpush": true, "blmove": true, "blmpop": true, "bzpopmin": true, "bzpopmax": true, "bzmpop": true,
	"wait": true, "waitaof": true, "xread": true, "xreadgroup": true,
}

func total(buckets []bucket) float64 {
	if len(buckets) == 0 {
		return 0
	}
	return buckets[len(buckets)-1].count
}

// quantileOf estimates a quantile like histogram_quantile of Prometheus: linear within the bucket,
// and the highest bound for a quantile above it.
func quantileOf(buckets []bucket, q float64) time.Duration {
	rank := q * total(buckets)
	var lower, below float64
	for _, b := range buckets {
		if b.count >= rank && b.count > below {
			if math.IsInf(b.bound, 1) {
				break
			}
			return seconds(lower + (b.bound-lower)*(rank-below)/(b.count-below))
		}
		lower, below = b.bound, b.count
	}
	return seconds(lower)
}

// highestOf returns the bound of the highest bucket that is not empty; -1 for the last one.
func highestOf(buckets []bucket) time.Duration {
	for _, b := range buckets {
		if b.count == total(buckets) && !math.IsInf(b.bound, 1) {
			return seconds(b.bound)
		}
	}
	return -1
}
