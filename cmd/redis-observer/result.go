package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/report"
	"github.com/redis-observer/redis-observer/internal/top"
)

// writer prints the result of a replay.
type writer func(w io.Writer, r result) error

// result is the result of a replay.
type result struct {
	families    []*dto.MetricFamily
	summary     packet.Summary
	octets      uint64 // bytes read
	span        time.Duration
	kinds       [session.Kinds]uint64 // connections, by what they turned out to be
	outstanding int                   // commands without a reply in the captures
	ports       []uint16              // observed
	slow        *report.Slow          // nil unless slow commands are kept
	discover    bool                  // and any other that speaks RESP
	damaged     bool                  // a file could not be read, or not to its end
}

var writers = map[string]writer{"prometheus": writePrometheus, "table": writeTable, "json": writeJSON}

// writePrometheus prints the metrics of a scrape, without those of the process.
func writePrometheus(w io.Writer, r result) error {
	for _, family := range r.families {
		if !strings.HasPrefix(family.GetName(), "redis_") {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return err
		}
	}
	return nil
}

// rows returns the rows of the whole replay. The previous scrape is empty. Packets without times have
// no rate.
func (r result) rows() []report.Row {
	rows := report.Rows(r.families, []*dto.MetricFamily{}, max(r.span, 1))
	if r.span == 0 {
		for i := range rows {
			rows[i].Rate = 0
		}
	}
	return rows
}

func writeTable(w io.Writer, r result) error {
	if err := report.Print(w, r.rows()); err != nil || r.slow == nil {
		return err
	}
	screen := top.NewScreen()
	_, err := fmt.Fprintf(w, "\n%s\n", ansi.Strip(screen.Slow(top.Slow{Sentences: map[string]string{"slow": r.slow.Sentence()}, Groups: r.slow.Groups, Commands: r.slow.Commands})))
	return err
}

// outcome is the JSON form of a result, part of the interface of the command. Durations are in
// seconds.
type outcome struct {
	Seconds     float64         `json:"seconds"`
	Packets     uint64          `json:"packets"`
	Commands    []commandResult `json:"commands"`
	Outstanding int             `json:"outstanding"` // commands without a reply in the captures, not counted
	Losses      []lossResult    `json:"losses"`
	Summary     summaryResult   `json:"summary"`
	Slow        *report.Slow    `json:"slow,omitempty"`    // with slow_commands.size
	Nothing     string          `json:"nothing,omitempty"` // why no command was read, and the remedy
}

type commandResult struct {
	Name    string   `json:"name"`
	Command string   `json:"command"`
	Count   float64  `json:"count"`
	Errors  float64  `json:"errors"`
	Rate    float64  `json:"rate"`
	P50     *float64 `json:"p50"` // null, like the next ones, if no command had a duration
	P90     *float64 `json:"p90"`
	P99     *float64 `json:"p99"`
	Max     *float64 `json:"max"` // bound of the highest bucket in use; null for +Inf
}

func writeJSON(w io.Writer, r result) error {
	printed := outcome{
		Seconds: r.span.Seconds(), Packets: r.summary.Packets, Commands: []commandResult{}, Outstanding: r.outstanding, Losses: losses(r.families),
		Summary: r.summarise(), Slow: r.slow, Nothing: r.nothing(),
	}
	for _, row := range r.rows() {
		command := commandResult{
			Name: row.Name, Command: row.Command, Count: row.Count, Errors: row.Errors, Rate: math.Round(row.Rate*1e3) / 1e3,
		}
		if row.Timed {
			command.P50, command.P90, command.P99 = seconds(row.P50), seconds(row.P90), seconds(row.P99)
			if row.Max >= 0 {
				command.Max = seconds(row.Max)
			}
		}
		printed.Commands = append(printed.Commands, command)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(printed)
}

func seconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}

// lossResult is a loss counter that is not zero.
type lossResult struct {
	What   string  `json:"what"` // metric family without the common prefix
	Labels string  `json:"labels,omitempty"`
	Count  float64 `json:"count"`
}

// lossFamilies are the counters of losses that can make results inexact.
var lossFamilies = map[string]bool{
	"redis_observer_capture_lost_events_total": true,
	"redis_observer_unpaired_commands_total":   true,
	"redis_observer_gaps_total":                true,
	"redis_observer_gap_bytes_total":           true,
	"redis_observer_held_overflow_total":       true,
	"redis_observer_evicted_connections_total": true,
	"redis_observer_lost_connections_total":    true,
	"redis_observer_unexecuted_commands_total": true,
}

// harmless is the label of gaps inside a value, which do not affect results.
const harmless = "effect=skipped"

func losses(families []*dto.MetricFamily) []lossResult {
	found := []lossResult{}
	for _, family := range families {
		if !lossFamilies[family.GetName()] {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			count := metric.GetCounter().GetValue()
			if count == 0 || slices.Contains(labels, harmless) {
				continue
			}
			found = append(found, lossResult{strings.TrimPrefix(family.GetName(), "redis_observer_"), strings.Join(labels, " "), count})
		}
	}
	return found
}
