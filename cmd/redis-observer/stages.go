package main

import (
	"context"
	"log/slog"
	"os"
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

// stages are what stands behind a source, live or of captures: they name, follow and count what it delivers.
type stages struct {
	commands *command.Table
	names    *naming.Names
	recorder *metrics.Recorder
	tracker  *correlate.Tracker // nil before follow
	memory   int64              // bytes that the process may use
}

// newStages makes the stages that do not depend on the source, which needs the names. ringSize is the memory in bytes of its ring, 0 without one.
func (p program) newStages(ctx context.Context, c *config.Config, ringSize int64, logger *slog.Logger) (*stages, error) {
	commands, err := command.New(c.ExtraCommands, c.RenamedCommands)
	if err != nil {
		return nil, err
	}
	memory := limitMemory(os.DirFS("/"), ringSize)
	names := naming.New(ctx, rulesOf(c), p.resolver, logger)
	recorder := metrics.New(metrics.Options{
		Buckets:          c.Metrics.Buckets,
		NativeHistograms: c.Metrics.NativeHistograms,
		Commands:         commands,
		Style:            c.Metrics.Style(),
		Identities:       names.Registry(),
		Version:          version,
		Revision:         sourceRevision(),
		Logger:           logger,
	})
	return &stages{commands: commands, names: names, recorder: recorder, memory: memory}, nil
}

// rulesOf returns the part of a configuration that concerns names.
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

// follow makes the tracker, of sockets or of packets, and adds it and what the source counts to the metrics. Packets get lost and come
// again, so that the tracker of packets waits longer.
func (s *stages) follow(packets bool, sources metrics.Sources) {
	options := correlate.Options{Commands: s.commands, Resolve: s.names.Resolve, Spill: s.record}
	options.Fit(s.memory)
	options.Sockets = !packets
	if packets {
		options.HoldFor = packet.Patience
		options.MaxHeld, options.MaxSegments = packetBytesHeld, packetsHeld
	}
	s.tracker = correlate.New(options)
	sources.Tracker, sources.Pools = s.tracker.Stats, s.livePools
	s.recorder.Watch(sources)
}

// named reports whether a connection is observed at an end. Sources of packets ask, from a goroutine of their own.
func (s *stages) named(role event.Role, e *event.Endpoints) bool {
	_, found := s.names.Resolve(role, e)
	return found
}

// livePools returns the pools of the names that had a connection since the start. An alert on a pool without a free connection must
// neither fire on a machine that never used the name, nor on after the name was taken out of the configuration.
func (s *stages) livePools() []correlate.Pool {
	return slices.DeleteFunc(s.tracker.Pools(), func(p correlate.Pool) bool {
		return p.Available == 0 && p.InUse == 0 && !s.names.Configured(p.Identity)
	})
}
