package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/redis-observer/redis-observer/internal/report"
	"github.com/redis-observer/redis-observer/test/kit"
)

var contract = []string{
	"redis_command_duration_seconds", "redis_command_errors_total", "redis_commands_total", "redis_pool_connections",
}

// summarize prints the four families, and Redis' own counts beside the observer's.
func summarize(out io.Writer, observer *kit.Observer, redis *redis) error {
	families, err := scrape(observer)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe four families, as %s returns them:\n\n", observer.URL("/metrics"))
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	for _, family := range families {
		if slices.Contains(contract, family.GetName()) {
			if _, err := expfmt.MetricFamilyToText(out, family); err != nil {
				return fmt.Errorf("print metrics: %w", err)
			}
		}
	}
	if redis.server == nil {
		return nil
	}
	return compare(out, redis.server, report.Rows(families, nil, 0))
}

// compare shows the observer's counts beside those of Redis, which is asked over its Unix socket: that is not observed.
func compare(out io.Writer, server *kit.Redis, rows []report.Row) error {
	calls, err := server.Calls()
	if err != nil {
		return fmt.Errorf("ask Redis for its counts: %w", err)
	}
	observed := make(map[string]float64)
	for _, row := range rows {
		observed[row.Command] += row.Count
	}
	fmt.Fprintf(out, "\nBeside what Redis itself counted (INFO commandstats):\n\n%-12s %12s %12s\n", "command", "Redis", "observer")
	for _, label := range slices.Sorted(maps.Keys(calls)) {
		fmt.Fprintf(out, "%-12s %12.0f %12.0f\n", label, calls[label].Calls, observed[label])
	}
	return nil
}
