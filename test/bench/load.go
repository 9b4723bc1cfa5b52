package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"time"
)

// load is work that can be done with and without an observer.
type load interface {
	// prepare is called once before the runs.
	prepare(ctx context.Context, b *bench) error
	// run does n operations; n is a multiple of step.
	run(ctx context.Context, n int) (speed, error)
	step() int
	// first is how many make a short run.
	first() int
}

// speed is how fast a run was.
type speed struct {
	rate float64       // operations per second
	p99  time.Duration // of one operation
	cpu  time.Duration // of the client, with connecting and closing; 0 if that is not known
}

// size returns how many operations take about as long as a run should.
func (b *bench) size(ctx context.Context, l load) (int, error) {
	n := l.first()
	if b.quick {
		return n, nil
	}
	// The second estimate is taken from a run that is long enough to be one.
	for _, d := range []time.Duration{runTime / 10, runTime} {
		s, err := l.run(ctx, n)
		if err != nil {
			return 0, err
		}
		n = max(1, int(s.rate*d.Seconds())/l.step()) * l.step()
	}
	return n, nil
}

// benchmark is a load by redis-benchmark, which sends one command over and over.
type benchmark struct {
	command     string // get or set
	pipeline    int
	connections int
	bytes       int // of the value
}

func (l benchmark) prepare(ctx context.Context, b *bench) error {
	// The key of redis-benchmark without random keys.
	err := b.redis.client.Set(ctx, "key:__rand_int__", bytes.Repeat([]byte("x"), l.bytes), 0).Err()
	if err != nil {
		return fmt.Errorf("set the key that is read: %w", err)
	}
	return nil
}

// step makes all connections take part, with whole pipelines: then every command that is sent is answered before the end.
func (l benchmark) step() int { return l.pipeline * l.connections }

// first avoids runs of less than a millisecond, whose rate redis-benchmark gives as infinite.
func (l benchmark) first() int {
	if l.bytes > 1<<10 {
		return 4 * l.step()
	}
	return l.step() * max(4, 10000/l.step())
}

func (l benchmark) run(ctx context.Context, n int) (speed, error) {
	return l.runAt(ctx, n, "-h", "127.0.0.1", "-p", strconv.Itoa(redisPort))
}

// runAt runs at the server that the arguments say.
func (l benchmark) runAt(ctx context.Context, n int, server ...string) (speed, error) {
	command := exec.CommandContext(ctx, "redis-benchmark", append(server, "-t", l.command, "--csv",
		"-n", strconv.Itoa(n), "-P", strconv.Itoa(l.pipeline), "-c", strconv.Itoa(l.connections), "-d", strconv.Itoa(l.bytes))...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return speed{}, fmt.Errorf("redis-benchmark: %w: %s", err, stderr.String())
	}
	s, err := parseCSV(output)
	s.cpu = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	return s, err
}

// overPath is a load by redis-benchmark over the Unix socket of Redis.
type overPath struct {
	benchmark
	socket string
}

func (l *overPath) prepare(ctx context.Context, b *bench) error {
	l.socket = b.redis.Socket
	return l.benchmark.prepare(ctx, b)
}

func (l *overPath) run(ctx context.Context, n int) (speed, error) {
	return l.runAt(ctx, n, "-s", l.socket)
}

// parseCSV reads a heading and one line of figures.
func parseCSV(output []byte) (speed, error) {
	rows, err := csv.NewReader(bytes.NewReader(output)).ReadAll()
	if err != nil || len(rows) != 2 {
		return speed{}, errors.Join(fmt.Errorf("redis-benchmark: cannot read %q (6.2 or later is needed)", output), err)
	}
	figures := make(map[string]float64)
	for i, name := range rows[0] {
		figures[name], _ = strconv.ParseFloat(rows[1][i], 64) // the first is a name, the others are checked below
	}
	s := speed{rate: figures["rps"], p99: time.Duration(figures["p99_latency_ms"] * float64(time.Millisecond))}
	if s.rate <= 0 || math.IsInf(s.rate, 0) || s.p99 <= 0 {
		return speed{}, fmt.Errorf("redis-benchmark: no figures in %q", output)
	}
	return s, nil
}
