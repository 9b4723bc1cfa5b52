package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

// paired measures a load with watchers and without, in alternation.
type paired struct {
	load   load
	role   string // of the observer
	peers  bool   // compare with other programs too
	kernel bool   // measure the time of the probes in runs of their own
	path   bool   // observe the Unix socket of Redis, not its port
	tls    bool   // observe its port for TLS
	beside bool   // observe that one too
}

// addresses returns what to observe.
func (p paired) addresses(b *bench) []string {
	switch {
	case p.path:
		return []string{"unix:" + b.redis.Socket}
	case p.tls:
		return []string{tcpAddress(tlsPort)}
	case p.beside:
		return []string{tcpAddress(redisPort), tcpAddress(tlsPort)}
	}
	return []string{tcpAddress(redisPort)}
}

// other returns an address of the same kind that the load does not use.
func (p paired) other() string {
	if p.path {
		return "unix:@where-nobody-listens"
	}
	return tcpAddress(otherPort)
}

func tcpAddress(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// outcome is what came of one run of a load.
type outcome struct {
	Watcher string        `json:"watcher"` // "" without one
	Rate    float64       `json:"rate"`    // operations per second
	P99     time.Duration `json:"p99_ns"`
	CPU     time.Duration `json:"cpu_ns"`              // of the watcher
	Client  time.Duration `json:"client_ns,omitempty"` // CPU time of redis-benchmark
	Server  time.Duration `json:"server_ns"`           // and of redis-server
	Sent    float64       `json:"sent"`                // commands, as Redis counted them
	Seen    float64       `json:"seen"`
	Passed  float64       `json:"passed_bytes"`
	Copied  float64       `json:"copied_bytes"`
	Faults  []string      `json:"faults,omitempty"`
}

func (p paired) measure(ctx context.Context, b *bench, name string) ([]result, error) {
	defer b.redis.controlBeside(p.path)()
	if err := p.load.prepare(ctx, b); err != nil {
		return nil, err
	}
	n, err := b.size(ctx, p.load)
	if err != nil {
		return nil, err
	}
	watchers := b.observers(p.role, p.addresses(b)...)
	if p.peers && b.peers {
		watchers = append(watchers, installed(peers)...)
	}
	rounds, err := alternate(b.pairs, watchers, func(w watcher) (outcome, error) { return b.watched(ctx, w, p.load, n) })
	if err != nil {
		return nil, err
	}
	var results []result
	for i, w := range watchers[1:] {
		results = append(results, compare(name, w.name(), n, rounds, i+1))
	}
	for i, w := range watchers[1:] {
		if o, is := w.(observing); is && p.kernel {
			err = errors.Join(err, p.probes(ctx, b, o, n, &results[i]))
		}
	}
	return results, err
}

// alternate runs something once per watcher and round, forwards and backwards in turn, so that neither has always the better place.
func alternate[Run any](pairs int, watchers []watcher, run func(watcher) (Run, error)) ([][]Run, error) {
	var rounds [][]Run
	order := make([]int, len(watchers))
	for i := range order {
		order[i] = i
	}
	for range pairs {
		round := make([]Run, len(watchers))
		for _, i := range order {
			var err error
			if round[i], err = run(watchers[i]); err != nil {
				return nil, err
			}
		}
		rounds = append(rounds, round)
		slices.Reverse(order)
	}
	return rounds, nil
}

// watched runs a load once beside a watcher.
func (b *bench) watched(ctx context.Context, w watcher, l load, n int) (o outcome, err error) {
	running, err := w.start(ctx)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, running.stop()) }()
	o = outcome{Watcher: w.name()}
	before, err := b.redis.read(ctx)
	if err != nil {
		return o, err
	}
	server, err := cpu(b.redis.PID())
	if err != nil {
		return o, err
	}
	s, used, err := timed(ctx, running, l, n)
	if err != nil {
		return o, err
	}
	o.Rate, o.P99, o.CPU, o.Client = s.rate, s.p99, used, s.cpu
	if o.Server, err = cpu(b.redis.PID()); err != nil {
		return o, err
	}
	o.Server -= server
	after, err := b.redis.read(ctx)
	if err != nil {
		return o, err
	}
	sent := after.since(before)
	o.Sent, o.Passed = total(sent.calls), sent.bytes
	return o, w.account(&o, running, sent)
}

// timed runs a load and returns the CPU time that processes used for it.
func timed(ctx context.Context, running processes, l load, n int) (s speed, used time.Duration, err error) {
	before, err := running.cpu()
	if err != nil {
		return s, 0, err
	}
	if s, err = l.run(ctx, n); err != nil {
		return s, 0, err
	}
	if err = running.settle(); err != nil {
		return s, 0, err
	}
	after, err := running.cpu()
	return s, after - before, err
}

// account adds what the observers saw. The processes are those that start returned.
func (w observing) account(o *outcome, running processes, sent ledger) error {
	for _, p := range running {
		seen, err := p.(*kit.Observer).Scrape()
		if err != nil {
			return err
		}
		o.Seen += seen.Sum("redis_commands_total") / float64(len(running))
		o.Copied += seen.Sum("redis_observer_capture_bytes_total")
		o.Faults = append(o.Faults, faults(sent.calls, seen)...)
	}
	return nil
}

// differences lists where two counts by command differ.
func differences(sent, seen map[string]float64) []string {
	names := maps.Clone(sent)
	maps.Copy(names, seen)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if sent[name] != seen[name] {
			list = append(list, fmt.Sprintf("%s: Redis counted %.0f, the observer %.0f", name, sent[name], seen[name]))
		}
	}
	return list
}

func total(counts map[string]float64) float64 {
	var sum float64
	for _, n := range counts {
		sum += n
	}
	return sum
}
