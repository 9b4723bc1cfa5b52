package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/correlate"
	"github.com/redis-observer/redis-observer/internal/correlate/session"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/identity"
	"github.com/redis-observer/redis-observer/internal/metrics"
	"github.com/redis-observer/redis-observer/internal/server"
)

// load is the traffic of one command of one name on one node.
type load struct {
	command  string
	rate     uint32        // successes per second
	median   time.Duration // of a log-normal distribution
	prefix   string        // of an error reply every errorInterval; "" for none
	blocking bool          // its duration is that of its wait, as deploy/mixin/config.libsonnet has it
	expected bool          // its errors are no one's fault
}

var loads = []load{
	{command: "get", rate: 40, median: 250 * time.Microsecond, prefix: "MOVED", expected: true},
	{command: "set", rate: 12, median: 300 * time.Microsecond, prefix: "OOM"},
	{command: "brpop", rate: 4, median: 400 * time.Millisecond, blocking: true},
	{command: "hgetall", rate: 8, median: 600 * time.Microsecond, prefix: "WRONGTYPE"},
	{command: "mget", rate: 8, median: 900 * time.Microsecond},
	{command: "evalsha", rate: 4, median: 2 * time.Millisecond, prefix: "NOSCRIPT", expected: true},
	{command: "hset", rate: 8, median: 300 * time.Microsecond},
	{command: "del", rate: 4, median: 250 * time.Microsecond},
	{command: "expire", rate: 8, median: 200 * time.Microsecond},
	{command: "incr", rate: 8, median: 200 * time.Microsecond},
	{command: "lpush", rate: 4, median: 300 * time.Microsecond, prefix: "WRONGTYPE"},
	{command: "zrange", rate: 4, median: 700 * time.Microsecond},
	{command: "zadd", rate: 4, median: 300 * time.Microsecond},
	{command: "sadd", rate: 4, median: 250 * time.Microsecond},
	{command: "smembers", rate: 4, median: 500 * time.Microsecond},
	{command: "exists", rate: 4, median: 200 * time.Microsecond},
	{command: "ttl", rate: 4, median: 200 * time.Microsecond},
	{command: "publish", rate: 4, median: 300 * time.Microsecond},
	{command: "xadd", rate: 4, median: 400 * time.Microsecond},
	{command: "xreadgroup", rate: 4, median: 800 * time.Millisecond, blocking: true},
}

const (
	tick          = time.Second
	errorInterval = 10     // ticks
	spread        = 0.6    // standard deviation of the logarithm of durations
	draws         = 4      // different durations per tick; divides every rate
	slowNode      = 1      // this node is slower than the others
	slowFactor    = 20     // so much
	failureTime   = 150000 // duration of a failure, in nanoseconds
	poolAvailable = 7
	poolInUse     = 3
	requestBytes  = 60 // of one command, as of its reply
)

// node is a Recorder with its endpoint.
type node struct {
	recorder *metrics.Recorder
	server   *server.Server
	pairs    []*pair
	pools    []correlate.Pool
}

// pair is a command of a name on a node.
type pair struct {
	load
	id       command.ID
	identity identity.ID
	prefix   command.Prefix
	counts   [][2]*count // what a success and a failure add to
	buckets  []*buckets  // what a duration adds to
	phase    int         // tick of the first error
}

// fleet is all nodes, and what they counted.
type fleet struct {
	nodes  []*node
	truth  *truth
	random *rand.Rand
	serve  sync.WaitGroup
}

func newFleet(o options) (*fleet, error) {
	defaults := config.Default().Metrics
	f := &fleet{truth: newTruth(defaults.Buckets, o.native), random: rand.New(rand.NewPCG(1, 2))}
	for i := range o.nodes {
		registry := identity.NewRegistry("name")
		n := &node{recorder: metrics.New(metrics.Options{
			Buckets: defaults.Buckets, NativeHistograms: o.native, Commands: command.Builtin(), Style: defaults.Style(),
			Identities: registry, Version: "fleet", Logger: slog.New(slog.DiscardHandler),
		})}
		listening, err := server.Listen(server.Options{
			Listen: "127.0.0.1:0", Metrics: n.recorder, Page: http.NotFoundHandler(), Live: http.NotFoundHandler(), Slow: http.NotFoundHandler(),
			Ready: func() error { return nil }, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		n.server = listening
		f.nodes = append(f.nodes, n)
		f.serve.Go(func() { _ = listening.Serve() }) // a node that does not answer fails the run
		for j := range o.names {
			if (i+j)%5 < 3 {
				f.add(n, registry, fmt.Sprintf("redis-%02d", j), o.commands, defaults.Style())
			}
		}
		n.recorder.Watch(sources(n))
	}
	f.tick(-1)
	return f, nil
}

// sources are the counters of a daemon that lost nothing.
func sources(n *node) metrics.Sources {
	return metrics.Sources{
		Backend: "tracepoint",
		Capture: func() event.Stats {
			return event.Stats{Lost: map[string]uint64{"ring_full": 0, "no_storage": 0, "missed_run": 0}}
		},
		LastRead:   time.Now,
		Tracker:    func() correlate.Stats { return correlate.Stats{} },
		Pools:      func() []correlate.Pool { return n.pools },
		LogDropped: func() uint64 { return 0 },
	}
}

// add gives a name to a node.
func (f *fleet) add(n *node, registry *identity.Registry, name string, commands int, style command.Style) {
	who, instance := registry.Intern(name), n.server.Address()
	n.pools = append(n.pools, correlate.Pool{Identity: who, Available: poolAvailable, InUse: poolInUse})
	t := f.truth
	*t.count("name_state:redis_pool_connections:sum", "name", name, "state", "available") += poolAvailable
	*t.count("name_state:redis_pool_connections:sum", "name", name, "state", "in_use") += poolInUse
	for _, l := range loads[:commands] {
		id := command.Builtin().Lookup([]byte(l.command), nil)
		label := command.Builtin().Label(id, style)
		p := &pair{load: l, id: id, identity: who, phase: f.random.IntN(errorInterval)}
		of := func(status string) *count {
			return t.count("name_command_status:redis_commands:rate5m", "name", name, "command", label, "status", status)
		}
		all, failed := t.count("instance:redis_commands:rate5m", "instance", instance), t.count("instance:redis_command_errors:rate5m", "instance", instance)
		faults := t.count("name:redis_command_faults:rate5m", "name", name)
		none := new(count)
		p.counts = [][2]*count{{of("success"), of("error")}, {all, all}, {none, failed}}
		if l.prefix != "" {
			p.prefix = command.LookupPrefix([]byte(l.prefix + " of the simulation"))
			if !l.expected {
				p.counts = append(p.counts, [2]*count{none, faults})
			}
		}
		p.buckets = []*buckets{t.buckets("name_command:redis_command_duration_seconds:p99", "name", name, "command", label)}
		if !l.blocking {
			p.buckets = append(p.buckets, t.buckets("name:redis_command_duration_seconds:p99", "name", name),
				t.buckets("instance:redis_command_duration_seconds:p99", "instance", instance))
		}
		n.pairs = append(n.pairs, p)
	}
}

// run records traffic until the context ends.
func (f *fleet) run(ctx context.Context) {
	next := time.NewTicker(tick)
	defer next.Stop()
	for i := 0; ; i++ {
		f.tick(i)
		f.truth.remember(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
	}
}

// tick records a second of traffic; before the first one, nothing of each series, so that it exists.
func (f *fleet) tick(i int) {
	for k, n := range f.nodes {
		factor := 1.0
		if k == slowNode {
			factor = slowFactor
		}
		for _, p := range n.pairs {
			if i < 0 {
				f.record(n, p, session.Success, 0, 0)
				if p.load.prefix != "" {
					f.record(n, p, session.Error, 0, 0)
				}
				continue
			}
			for range draws {
				took := float64(p.median) * factor * math.Exp(spread*f.random.NormFloat64())
				f.record(n, p, session.Success, p.rate/draws, int64(took))
			}
			if p.load.prefix != "" && i%errorInterval == p.phase {
				f.record(n, p, session.Error, 1, failureTime)
			}
		}
	}
}

// record records n equal commands, and counts them.
func (f *fleet) record(n *node, p *pair, outcome session.Outcome, commands uint32, took int64) {
	x := session.Exchange{
		Identity: p.identity, Command: p.id, Outcome: outcome, Count: commands, Duration: took,
		RequestBytes: uint64(commands) * requestBytes, ResponseBytes: uint64(commands) * requestBytes,
	}
	failed := 0
	if outcome == session.Error {
		x.Prefix, failed = p.prefix, 1
	}
	n.recorder.Record(&x)
	for _, c := range p.counts {
		*c[failed] += count(commands)
	}
	for _, b := range p.buckets {
		b.add(time.Duration(took).Seconds(), commands)
	}
}

// addresses are those of all nodes.
func (f *fleet) addresses() []string {
	var all []string
	for _, n := range f.nodes {
		all = append(all, n.server.Address())
	}
	return all
}

// pairs is the number of pairs of name and command on all nodes.
func (f *fleet) pairs() int {
	sum := 0
	for _, n := range f.nodes {
		sum += len(n.pairs)
	}
	return sum
}

func (f *fleet) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var faults []error
	for _, n := range f.nodes {
		faults = append(faults, n.server.Shutdown(ctx))
	}
	f.serve.Wait()
	return errors.Join(faults...)
}
