package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/redis-observer/redis-observer/test/kit"
)

const (
	distinctCommands = 200
	idleTime         = 10 * time.Second
	scrapes          = 20
)

// idle measures what the observer takes when there is nothing to see, on connections that are established.
type idle struct{ connections int }

// active measures how long a scrape takes while every connection is used, with many distinct commands.
type active struct{ connections int }

func (m idle) measure(ctx context.Context, b *bench, name string) ([]result, error) {
	return b.crowded(ctx, name, m.connections, func(r *result, o *kit.Observer, _ crowd) error {
		duration := idleTime
		if b.quick {
			duration /= 10
		}
		before, err := cpu(o.PID())
		if err != nil {
			return err
		}
		if err := sleep(ctx, duration); err != nil {
			return err
		}
		after, err := cpu(o.PID())
		if err != nil {
			return err
		}
		r.add(idleCPU, 100*(after-before).Seconds()/duration.Seconds())
		return nil
	})
}

func (m active) measure(ctx context.Context, b *bench, name string) ([]result, error) {
	commands, err := b.refused(ctx, distinctCommands)
	if err != nil {
		return nil, err
	}
	return b.crowded(ctx, name, m.connections, func(r *result, o *kit.Observer, c crowd) error {
		activity, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- c.activity(activity, commands) }()
		err := sleep(ctx, 1200*time.Millisecond) // until every connection was used
		var times []float64
		if err == nil {
			times, err = scrapeTimes(ctx, o)
		}
		cancel()
		if err = errors.Join(err, <-done); err != nil {
			return err
		}
		r.add(scrapeTime, times...)
		return nil
	})
}

// crowded attaches the observer, opens connections, measures, and compares the counts.
func (b *bench) crowded(ctx context.Context, name string, connections int, measure func(*result, *kit.Observer, crowd) error) (_ []result, err error) {
	if b.quick {
		connections /= 20
	}
	o, err := attach(b.observer, "client", "", tcpAddress(redisPort))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.Stop()) }()
	before, err := b.redis.read(ctx)
	if err != nil {
		return nil, err
	}
	c, err := gather(ctx, connections)
	if err != nil {
		return nil, err
	}
	defer c.disperse()
	if err := settle(o.PID()); err != nil {
		return nil, err
	}
	r := result{Case: name, Watcher: theObserver}
	if err := measure(&r, o, c); err != nil {
		return nil, err
	}
	if err := settle(o.PID()); err != nil {
		return nil, err
	}
	memory, err := residentMiB(o.PID())
	if err != nil {
		return nil, err
	}
	r.add(resident, memory)
	after, err := b.redis.read(ctx)
	if err != nil {
		return nil, err
	}
	return []result{r}, r.compareCounts(o, after.since(before), connections)
}

// compareCounts adds what the observer saw of the connections and their commands.
func (r *result) compareCounts(o *kit.Observer, sent ledger, connections int) error {
	seen, err := o.Scrape()
	if err != nil {
		return err
	}
	r.Faults = faults(sent.calls, seen)
	if n := seen.Sum("redis_pool_connections", "state=available"); n != float64(connections) {
		r.Faults = append(r.Faults, fmt.Sprintf("connections: %d are open, the observer sees %.0f", connections, n))
	}
	r.add(lost, float64(len(r.Faults)))
	return nil
}

// scrapeTimes returns the milliseconds that scrapes take.
func scrapeTimes(ctx context.Context, o *kit.Observer) ([]float64, error) {
	var times []float64
	for range scrapes {
		if err := sleep(ctx, 170*time.Millisecond); err != nil { // which drifts through the rhythm of the load
			return nil, err
		}
		start := time.Now()
		response, err := http.Get(o.URL("/metrics"))
		if err != nil {
			return nil, fmt.Errorf("scrape: %w", err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("scrape: %w", err)
		}
		times = append(times, float64(time.Since(start))/float64(time.Millisecond))
	}
	return times, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
