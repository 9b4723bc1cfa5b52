package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Row summarises one command of one name.
type Row struct {
	Name, Command string
	Count, Errors float64
	Rate          float64 // per second since the previous scrape; NaN without one
	Timed         bool    // a command had a duration; without one, the fields below are 0
	P50, P90, P99 time.Duration
	Max           time.Duration // upper bound of the highest bucket in use; negative for the +Inf bucket
}

type key struct{ name, command string }

// Rows returns a row for each name and command of a scrape, ordered by name and count. before is
// the scrape taken elapsed earlier, or nil.
func Rows(families, before []*dto.MetricFamily, elapsed time.Duration) []Row {
	rows := make(map[key]*Row)
	row := func(k key) *Row {
		if rows[k] == nil {
			rows[k] = &Row{Name: k.name, Command: k.command, Rate: math.NaN()}
		}
		return rows[k]
	}
	for k, metrics := range grouped(families, "redis_commands_total") {
		row(k).Count = sum(metrics)
	}
	for k, metrics := range grouped(families, "redis_command_errors_total") {
		row(k).Errors = sum(metrics)
	}
	for k, metrics := range grouped(families, "redis_command_duration_seconds") {
		r, h := row(k), metrics[0].GetHistogram()
		if h.GetSampleCount() == 0 {
			continue
		}
		r.Timed = true
		buckets := bucketsOf(h)
		r.P50, r.P90, r.P99 = quantileOf(buckets, 0.5), quantileOf(buckets, 0.9), quantileOf(buckets, 0.99)
		r.Max = highestOf(buckets)
	}
	if before != nil {
		earlier := grouped(before, "redis_commands_total")
		for k, r := range rows {
			r.Rate = (r.Count - sum(earlier[k])) / elapsed.Seconds()
		}
	}
	return ordered(rows)
}

func ordered(rows map[key]*Row) []Row {
	var list []Row
	for _, r := range rows {
		if r.Count > 0 {
			list = append(list, *r)
		}
	}
	slices.SortFunc(list, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), -cmp.Compare(a.Count, b.Count), cmp.Compare(a.Command, b.Command))
	})
	return list
}

// grouped returns the metrics of a family by name and command.
func grouped(families []*dto.MetricFamily, name string) map[key][]*dto.Metric {
	groups := make(map[key][]*dto.Metric)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var k key
			for _, label := range metric.GetLabel() {
				switch label.GetName() {
				case "name":
					k.name = label.GetValue()
				case "command":
					k.command = label.GetValue()
				}
			}
			groups[k] = append(groups[k], metric)
		}
	}
	return groups
}

func sum(metrics []*dto.Metric) float64 {
	var total float64
	for _, metric := range metrics {
		total += metric.GetCounter().GetValue()
	}
	return total
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Print writes the rows as a table.
func Print(w io.Writer, rows []Row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "name\tcommand\tcommands\trate/s\tp50\tp90\tp99\tmax\terrors\t")
	for _, r := range rows {
		rate := "-"
		if !math.IsNaN(r.Rate) {
			rate = fmt.Sprintf("%.0f", r.Rate)
		}
		p50, p90, p99, highest := "-", "-", "-", "-"
		if r.Timed {
			p50, p90, p99, highest = Short(r.P50), Short(r.P90), Short(r.P99), Bound(r.Max)
		}
		fmt.Fprintf(table, "%s\t%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%.0f\t\n", r.Name, r.Command, r.Count, rate, p50, p90, p99, highest, r.Errors)
	}
	return table.Flush()
}

// Bound prints the bound of the highest bucket in use.
func Bound(d time.Duration) string {
	if d < 0 {
		return "over"
	}
	return "≤" + Short(d)
}

// Short prints a duration with three significant digits.
func Short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2fms", d.Seconds()*1e3)
	default:
		return fmt.Sprintf("%.0fµs", d.Seconds()*1e6)
	}
}
