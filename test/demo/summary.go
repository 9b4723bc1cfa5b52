package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/redis-observer/redis-observer/internal/report"
	"github.com/redis-observer/redis-observer/test/commandstats"
)

var contract = []string{
	"redis_command_duration_seconds", "redis_command_errors_total", "redis_commands_total", "redis_pool_connections",
}

// summarize prints the four families, and Redis' own counts beside the observer's.
func summarize(out io.Writer, server *redis) error {
	families, err := scrape()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe four families, as http://%s/metrics returns them:\n\n", listen)
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	for _, family := range families {
		if slices.Contains(contract, family.GetName()) {
			if _, err := expfmt.MetricFamilyToText(out, family); err != nil {
				return fmt.Errorf("print metrics: %w", err)
			}
		}
	}
	if server.socket == "" {
		return nil
	}
	return compare(out, server, report.Rows(families, nil, 0))
}

// compare asks Redis over its Unix socket, which is not observed, in the one command that Redis then does not count yet.
func compare(out io.Writer, server *redis, rows []report.Row) error {
	conn, err := net.Dial("unix", server.socket)
	if err != nil {
		return fmt.Errorf("ask Redis for its counts: %w", err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "INFO commandstats\r\n"); err != nil {
		return fmt.Errorf("ask Redis for its counts: %w", err)
	}
	observed := make(map[string]float64)
	for _, row := range rows {
		observed[row.Command] += row.Count
	}
	fmt.Fprintf(out, "\nBeside what Redis itself counted (INFO commandstats):\n\n%-12s %12s %12s\n", "command", "Redis", "observer")
	lines := bufio.NewScanner(conn)
	// The reply is a bulk string: its length, a heading, the lines, and an empty one.
	for lines.Scan() && lines.Text() != "" {
		name, c, ok := commandstats.Line(lines.Text())
		if ok {
			fmt.Fprintf(out, "%-12s %12.0f %12.0f\n", name, c.Calls, observed[name])
		}
	}
	return lines.Err()
}
