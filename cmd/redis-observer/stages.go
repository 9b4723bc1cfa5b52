package main

import (
	"log/slog"
	"slices"

	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/internal/naming"
)

// What a stream of packets may hold while a lost one is sent again: about what is under way on a fast network.
const (
	packetBytesHeld = 4 << 20
	packetsHeld     = 1024
)

// rulesOf returns what a configuration says of names.
func rulesOf(c *config.Config) *naming.Rules {
	rules := &naming.Rules{DefaultName: c.DefaultName, ResolveInterval: c.ResolveInterval}
	for _, endpoint := range c.Endpoints {
		rules.Endpoints = append(rules.Endpoints, naming.Endpoint(endpoint))
	}
	for _, port := range c.Ports {
		rules.Ports = append(rules.Ports, uint16(port))
	}
	return rules
}

// hasName tells a source of packets which end of a connection is observed.
func hasName(names *naming.Names) func(event.Role, *event.Endpoints) bool {
	return func(role event.Role, e *event.Endpoints) bool {
		_, named := names.Resolve(role, e)
		return named
	}
}

// newTracker returns the tracker of sockets or of packets, for a process that may use so many bytes. Packets get lost and come again, so that
// the latter waits longer.
func newTracker(table *command.Table, names *naming.Names, recorder *metrics.Recorder, packets bool, memory int64) *correlate.Tracker {
	options := correlate.Options{Commands: table, Resolve: names.Resolve, Spill: func(some []correlate.Exchange) { record(recorder, some) }}
	options.Fit(memory)
	options.Sockets = !packets
	if packets {
		options.HoldFor = packet.Patience
		options.MaxHeld, options.MaxPieces = packetBytesHeld, packetsHeld
	}
	return correlate.New(options)
}

func newRecorder(c *config.Config, table *command.Table, names *naming.Names, logger *slog.Logger) *metrics.Recorder {
	return metrics.New(metrics.Options{
		Buckets:          c.Metrics.Buckets,
		NativeHistograms: c.Metrics.NativeHistograms,
		Commands:         table,
		Style:            c.Metrics.Style(),
		Identities:       names.Registry(),
		Version:          version,
		Revision:         sourceRevision(),
		Logger:           logger,
	})
}

// livePools returns the pools of the names that had a connection since the start. An alert on a pool without a free connection must
// neither fire on a machine that never used the name, nor on after the name was taken out of the configuration.
func livePools(tracker *correlate.Tracker, names *naming.Names) []correlate.Pool {
	return slices.DeleteFunc(tracker.Pools(), func(p correlate.Pool) bool {
		return p.Available == 0 && p.InUse == 0 && !names.Configured(p.Identity)
	})
}
