package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/charmbracelet/colorprofile"
	dto "github.com/prometheus/client_model/go"

	"github.com/redis-observer/redis-observer/internal/report"
	"github.com/redis-observer/redis-observer/internal/top"
	"github.com/redis-observer/redis-observer/test/kit"
)

const (
	duration = 10 * time.Second
	interval = time.Second
	port     = 26399 // of the Redis server, on 127.0.0.1 and 127.0.0.2
	listen   = 29479 // port of the observer's endpoint
)

const configuration = `ports: []
endpoints:
  - {name: session-cache, addresses: ["127.0.0.1:26399"]}
  - {name: job-queue, addresses: ["127.0.0.2:26399"]}
log: {level: error}
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	if len(args) != 1 {
		return errors.New("want the path of redis-observer as the only argument")
	}
	observer, err := kit.NewObserver(kit.ObserverOptions{Program: args[0], Port: listen, Configuration: configuration, Prepare: prepare})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, observer.Clean()) }()
	here, err := look(ctx, observer)
	if err != nil {
		return err
	}
	if here.backend == "" {
		here.explain(out)
		return replay(ctx, observer, out)
	}
	return observe(ctx, observer, here, out)
}

// prepare shows the observer's log beside the output of this program.
func prepare(command *exec.Cmd) { command.Stderr, command.SysProcAttr = os.Stderr, diesWithDemo() }

// observe shows the observer beside real traffic.
func observe(ctx context.Context, observer *kit.Observer, here place, out io.Writer) (err error) {
	redis, err := startRedis()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.stop()) }()
	if err := observer.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, observer.Stop()) }()

	fmt.Fprintf(out, "Redis: %s on port %d. Two applications use it, as session-cache and as job-queue.\n", redis.name, port)
	here.explain(out)
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	applications := startApplications(ctx)
	defer applications.close()
	if err := watch(ctx, observer, out); err != nil {
		return err
	}
	if err := applications.wait(); err != nil {
		return err
	}
	// Packets wait in the kernel for milliseconds.
	time.Sleep(100 * time.Millisecond)
	return summarize(out, observer, redis)
}

// watch prints the table every second until ctx ends: on a terminal that of top, elsewhere the counts since the start.
func watch(ctx context.Context, observer *kit.Observer, out io.Writer) error {
	shown := newScreen(out)
	frame := counts(observer)
	if shown.terminal {
		frame = live(observer, shown.width())
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			if shown.terminal {
				return last(observer, shown)
			}
			return nil
		case <-ticker.C:
		}
		text, err := frame()
		if err != nil {
			return err
		}
		shown.show(text)
	}
}

// live returns a function that returns the table of top for the time since its last call.
func live(observer *kit.Observer, width int) func() (string, error) {
	var followed report.Watch
	table := top.NewScreen()
	table.Width = width
	return func() (string, error) {
		families, err := scrape(observer)
		if err != nil {
			return "", err
		}
		now := time.Now()
		followed.Update(now, []*report.Sample{report.NewSample("demo", now, families)}, nil)
		view := followed.View(table.By)
		var text strings.Builder
		writer := colorprofile.Writer{Forward: &text, Profile: colorprofile.Env(os.Environ())}
		_, err = fmt.Fprintf(&writer, "%s\n\n%s\n", table.Head(view, nil), table.Table(view))
		return text.String(), err
	}
}

// counts returns a function that returns the table of all counts, with the rates since its last call.
func counts(observer *kit.Observer) func() (string, error) {
	var before []*dto.MetricFamily
	at := time.Now()
	return func() (string, error) {
		families, err := scrape(observer)
		if err != nil {
			return "", err
		}
		now := time.Now()
		var table strings.Builder
		err = report.Print(&table, report.Rows(families, before, now.Sub(at)))
		before, at = families, now
		return table.String(), err
	}
}

// last prints the counts below the last table of top.
func last(observer *kit.Observer, shown *screen) error {
	text, err := counts(observer)()
	fmt.Fprintf(shown.out, "\n`redis-observer top` shows this table of any running observer. All counts since the start:\n\n%s", text)
	return err
}

// scrape reads the metrics as Prometheus would.
func scrape(observer *kit.Observer) ([]*dto.MetricFamily, error) {
	byName, err := observer.Families()
	return slices.Collect(maps.Values(byName)), err
}
