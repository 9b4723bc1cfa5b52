package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/redis-observer/redis-observer/internal/report"
)

const (
	duration = 10 * time.Second
	interval = time.Second
	port     = 26399 // of the Redis server, on 127.0.0.1 and 127.0.0.2
	listen   = "127.0.0.1:29479"
)

const configuration = `
listen: "` + listen + `"
ports: []
endpoints:
  - {name: session-cache, addresses: ["127.0.0.1:26399"]}
  - {name: job-queue, addresses: ["127.0.0.2:26399"]}
log: {level: error}
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("want the path of redis-observer as the only argument")
	}
	dir, err := os.MkdirTemp("", "redis-observer-demo")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	config := dir + "/observer.yaml"
	if err := os.WriteFile(config, []byte(configuration), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	here, err := look(ctx, args[0], config)
	if err != nil {
		return err
	}
	if here.backend == "" {
		here.explain(out)
		return replay(ctx, args[0], config, out)
	}
	return live(ctx, args[0], dir, config, here, out)
}

// live shows the observer beside real traffic.
func live(ctx context.Context, observer, dir, config string, here place, out io.Writer) (err error) {
	redis, err := startRedis(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.stop()) }()
	daemon, err := startProcess(observer, "--config", config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	if err := waitReady(ctx); err != nil {
		return err
	}

	fmt.Fprintf(out, "Redis: %s on port %d. Two applications use it, as session-cache and as job-queue.\n", redis.name, port)
	here.explain(out)
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	applications := startApplications(ctx)
	defer applications.close()
	if err := watch(ctx, out); err != nil {
		return err
	}
	if err := applications.wait(); err != nil {
		return err
	}
	// What the last commands left in the ring is read within the flush interval.
	time.Sleep(100 * time.Millisecond)
	return summarize(out, redis)
}

// watch prints the table every second until ctx ends.
func watch(ctx context.Context, out io.Writer) error {
	var before []*dto.MetricFamily
	at := time.Now()
	screen := newScreen(out)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		families, err := scrape()
		if err != nil {
			return err
		}
		now := time.Now()
		var table strings.Builder
		if err := report.Print(&table, report.Rows(families, before, now.Sub(at))); err != nil {
			return err
		}
		screen.show(table.String())
		before, at = families, now
	}
}
