package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/kube"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/internal/naming"
	"github.com/redis-observer/redis-observer/internal/owner"
	"github.com/redis-observer/redis-observer/internal/slow"
)

// Reorder limits of a packet stream: about the data in flight on a fast network during a
// retransmission.
const (
	packetBytesHeld = 4 << 20
	packetsHeld     = 1024
)

// stages are the stages after a source, live or replayed: naming, tracking, counting.
type stages struct {
	commands *command.Table
	names    *naming.Names
	sets     *owner.Sets // nil without further labels
	pods     *kube.Pods  // nil unless a label or a namespace to ignore needs them
	ignore   owner.Ignore
	unnamed  bool            // addresses of user namespaces have no names
	runtimes *owner.Runtimes // nil unless a label needs them
	counted  owner.Names     // what connections count under: sets, or names without further labels
	recorder *metrics.Recorder
	tracker  *correlate.Tracker // set by follow
	slow     *slow.Log          // nil unless slow commands are kept
	slowFrom time.Duration      // how long they took at least
	style    command.Style      // of their names
	clock    func() int64       // wall time less that of the events, in nanoseconds; nil if they are the same
	offset   int64              // what clock returned
	memory   int64              // memory limit of the process, in bytes
	phases   bool               // observe how long bytes lay in sockets
	untimed  bool               // the event that is tracked has no time
	looked   int64              // time of the last look
	changes  uint64             // of the pods at that time
	// questions are run by the loop at a Tick: they may use the tracker. Nil where nobody asks.
	questions chan func()
}

// newStages creates the stages that do not depend on the source. ringSize is the size of the ring
// of the source in bytes, 0 without one.
func (p program) newStages(ctx context.Context, c *config.Config, ringSize int64, logger *slog.Logger) (*stages, error) {
	commands, err := command.New(c.ExtraCommands, c.RenamedCommands)
	if err != nil {
		return nil, err
	}
	memory := limitMemory(os.DirFS("/"), ringSize)
	names := naming.New(ctx, rulesOf(c), p.resolver, logger)
	s := &stages{commands: commands, names: names, counted: names, ignore: owner.Ignore(c.Ignore), unnamed: c.Capture.UserNamespaces == config.Unnamed, memory: memory, phases: c.Metrics.Phases}
	if podsWanted(c) {
		s.pods = kube.NewPods()
	}
	if len(c.Metrics.Labels) > 0 {
		options := owner.Options{Names: names, Labels: c.Metrics.Labels, Max: c.Metrics.MaxLabelSets, TTL: c.Metrics.LabelTTL}
		if owner.RuntimesWanted(c.Metrics.Labels) {
			s.runtimes = owner.NewRuntimes(os.DirFS("/"))
			options.Runtimes = s.runtimes
		}
		if s.pods != nil {
			options.Pod = s.pod
		}
		s.sets = owner.New(options)
		s.counted = s.sets
	}
	s.recorder = metrics.New(metrics.Options{
		Buckets:          c.Metrics.Buckets,
		NativeHistograms: c.Metrics.NativeHistograms,
		DurationsByError: semantic(c),
		Commands:         commands,
		Style:            c.Metrics.Style(),
		Identities:       s.counted.Registry(),
		Version:          version,
		Revision:         revision,
		Logger:           logger,
	})
	return s, nil
}

// podsWanted reports whether anything of a configuration needs the pods of the node.
func podsWanted(c *config.Config) bool {
	return len(c.Ignore.Namespaces) > 0 || podLabelsWanted(c)
}

// podLabelsWanted reports whether a label needs the pods of the node.
func podLabelsWanted(c *config.Config) bool {
	return owner.PodsWanted(c.Metrics.Labels, os.Getenv("KUBERNETES_SERVICE_HOST") != "")
}

// ownersWanted reports whether anything of a configuration needs the owners of connections.
func ownersWanted(c *config.Config) bool {
	return owner.Wanted(c.Metrics.Labels) || !owner.Ignore(c.Ignore).Empty()
}

// filter returns the filter of what is to be ignored.
func (s *stages) filter() *owner.Filter {
	if s.pods == nil {
		return owner.NewFilter(s.ignore, nil)
	}
	return owner.NewFilter(s.ignore, s.pod)
}

// pod returns what is known of a container of a pod.
func (s *stages) pod(uid, container string) (owner.Pod, bool) {
	found, known := s.pods.Find(uid, container)
	return owner.Pod(found), known
}

// semantic reports whether metrics are exported by the semantic conventions, which have the durations
// by error.
func semantic(c *config.Config) bool {
	return c.OTLP.Endpoint != "" && c.OTLP.Names == config.SemconvNames
}

// rulesOf returns the naming rules of a configuration.
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

// follow creates the tracker, for sockets or packets, and registers it and sources with the
// metrics. A tracker for packets waits longer, because lost packets are retransmitted.
func (s *stages) follow(packets bool, sources metrics.Sources) {
	options := correlate.Options{Commands: s.commands, Resolve: s.names.Resolve, Spill: s.record, Life: s.live}
	if s.sets != nil {
		options.Label = s.sets.Label
		sources.Labels = func() metrics.LabelStats { return metrics.LabelStats(s.sets.Stats()) }
	}
	if s.unnamed {
		options.Unnamed = s.names.Unnamed
	}
	if !s.ignore.Empty() {
		options.Ignored = s.filter().Ignored
	}
	if s.slow != nil {
		options.Slow, options.SlowFrom = s.addSlow, s.slowFrom
	}
	options.Fit(s.memory)
	options.Sockets = !packets
	if s.phases && !packets {
		options.Wait = s.recorder.Waited
	}
	if packets {
		options.HoldFor = packet.ReorderTimeout
		options.MaxHeld, options.MaxSegments = packetBytesHeld, packetsHeld
	}
	s.tracker = correlate.New(options)
	sources.Tracker, sources.Pools = s.tracker.Stats, s.tracker.Pools
	s.recorder.Watch(sources)
}
