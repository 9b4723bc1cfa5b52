package main

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/redis-observer/redis-observer/test/kit"
)

// attach starts a build of the observer for one end of the connections to addresses, with more lines of configuration. It has
// counted nothing yet.
func attach(build, role, more string, addresses ...string) (*kit.Observer, error) {
	o, err := kit.StartObserver(kit.ObserverOptions{
		Program: build, Port: metricsPorts[role],
		Configuration: fmt.Sprintf("ports: []\nendpoints: [{name: bench, addresses: ['%s'], role: %s}]\nlog: {level: warn}\n%s\n", strings.Join(addresses, "', '"), role, more),
		Prepare:       func(command *exec.Cmd) { command.SysProcAttr = diesWithBench() },
	})
	if err != nil {
		return nil, err
	}
	if slices.Contains(addresses, tcpAddress(tlsPort)) {
		err = attachLibrary(o)
	}
	if err == nil {
		err = settle(o.PID())
	}
	if err != nil {
		return nil, errors.Join(err, o.Stop())
	}
	return o, nil
}

// lossFamilies are the counters that say a number may not be exact.
var lossFamilies = []string{
	"redis_observer_capture_lost_events_total", "redis_observer_unpaired_commands_total", "redis_observer_unanswered_commands_total",
	"redis_observer_evicted_connections_total", "redis_observer_lost_connections_total", "redis_observer_held_overflow_total",
	"redis_observer_protocol_errors_total", "redis_observer_unexecuted_commands_total", "redis_observer_gaps_total",
}

// faults lists where the observer's counts differ from those of Redis, and what it lost.
func faults(sent map[string]float64, seen kit.Samples) []string {
	list := differences(sent, seen.By("command", "redis_commands_total"))
	for _, series := range seen.Nonzero(lossFamilies...) {
		list = append(list, fmt.Sprintf("%s: %.0f", strings.TrimPrefix(series, "redis_observer_"), seen[series]))
	}
	return slices.Clip(list)
}
