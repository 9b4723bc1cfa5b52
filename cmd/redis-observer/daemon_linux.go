package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture"
	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/export/otlp"
	"github.com/redis-observer/redis-observer/internal/naming"
	"github.com/redis-observer/redis-observer/internal/page"
	"github.com/redis-observer/redis-observer/internal/server"
)

const (
	listingTime  = 5 * time.Second // maximum wait for the listing of existing connections before scrapes are served
	shutdownTime = time.Second     // time for scrapes in progress at shutdown
	catchUpTime  = time.Second     // maximum wait of a scrape for the events before it
)

// observer is a running observer.
type observer struct {
	*stages
	config   *config.Config
	logger   *slog.Logger
	log      *logWriter // output of logger
	alive    *heartbeat
	reloader reloader
	services *services
	podWatch *podWatch // nil unless the pods of the node are needed
	endpoint *server.Server
	export   *otlp.Exporter // nil without otlp
	surveys  surveys
	source   capture.Source
	program  program
	folders  []string // of container runtimes, that could be read at the start
}

// observe runs until ctx ends or an error occurs.
func (p program) observe(ctx context.Context, load config.Loader, stderr io.Writer) (err error) {
	// Queue SIGHUP from here on; by default it would end the process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	// SIGPIPE would end the process when its log is closed, and a service manager would take that
	// for a clean exit.
	signal.Ignore(syscall.SIGPIPE)

	log := newLogWriter(stderr)
	defer log.close()
	o, err := p.start(ctx, load, log)
	if err != nil {
		return err
	}
	return o.run(ctx, hangup)
}

// start creates all parts. It attaches the probes last, so that a failure before leaves nothing
// attached.
func (p program) start(ctx context.Context, load config.Loader, log *logWriter) (o *observer, err error) {
	c, text, err := load.LoadText()
	if err != nil {
		return nil, err
	}
	logger, level := newLogger(log, c.Log)
	for _, fault := range config.UnknownVariables(os.Environ()) {
		logger.Warn("ignoring an unknown environment variable", "fault", fault)
	}
	stages, err := p.newStages(ctx, c, int64(c.Capture.RingSize), logger)
	if err != nil {
		return nil, err
	}
	o = &observer{stages: stages, config: c, logger: logger, log: log, program: p, alive: newHeartbeat()}
	o.recorder.ConfigRead(true, time.Now())
	named := &servers{}
	named.set(c)
	o.export, err = newExport(ctx, c, stages, named, logger)
	if err != nil {
		return nil, err
	}
	o.questions = make(chan func(), 1)
	people := page.New(o.recorder.Gather, o.slowView, o.addressView)
	o.endpoint, err = server.Listen(server.Options{
		Listen:    c.Listen,
		WebConfig: c.WebConfig,
		Metrics:   o.recorder,
		Page:      people,
		Live:      http.HandlerFunc(people.ServeData),
		Slow:      http.HandlerFunc(people.ServeSlow),
		Addresses: http.HandlerFunc(people.ServeAddresses),
		Ready:     o.alive.check,
		Logger:    logger,
	})
	if err != nil {
		return nil, err
	}
	if note := slowNote(c, o.endpoint.Addr()); note != "" {
		logger.Warn("slow commands are not served", "note", note)
	}
	if stages.pods != nil {
		o.podWatch = newPodWatch(ctx, stages.pods, logger)
	}
	if stages.runtimes != nil {
		o.folders, _ = stages.runtimes.Readable()
	}
	o.source, err = p.open(ctx, captureOptions(c, o.names, logger))
	if err != nil {
		return nil, errors.Join(err, o.endpoint.Shutdown(ctx))
	}
	o.noteUnixSockets()
	if o.source.Backend() == packet.Backend {
		for _, note := range packetNotes(c) {
			o.logger.Warn("packet capture does not see all that is configured", "note", note)
		}
	}
	o.keepSlow(c, false)
	o.clock = sinceBoot
	o.follow(o.source.Backend() == packet.Backend, o.sources())
	if gate, ok := o.source.(event.Gate); ok {
		o.tracker.Guard(gate)
	}
	o.services = newServices(o.names, logger)
	o.reloader = reloader{Loader: load, running: c, text: text, names: o.names, source: o.source, services: o.services, servers: named, catchUp: o.catchUp, recorder: o.recorder, level: level, logger: logger}
	return o, nil
}

// catchUp waits until all events before the call are counted: between two scrapes they may wait in
// the per-CPU rings. The loop may be about to beat already, after it read events, so only the second
// beat says that all were read.
func (o *observer) catchUp() {
	wake, ok := o.waker()
	if !ok {
		return
	}
	deadline := time.After(catchUpTime)
	for range 2 {
		if !o.alive.await(wake, deadline) {
			return
		}
	}
}

// waker returns what has the source read its events at once; a function that does nothing, and false,
// if the source cannot.
func (o *observer) waker() (wake func(), ok bool) {
	if source, ok := o.source.(interface{ Wake() }); ok {
		return source.Wake, true
	}
	return func() {}, false
}

// noteUnixSockets logs configured paths that no server bound under that name, while all of the
// host's files can still be read.
func (o *observer) noteUnixSockets() {
	if paths := o.names.Paths(); len(paths) > 0 {
		for _, note := range unixNotes(paths, capture.UnixListeners()) {
			o.logger.Warn("check the Unix sockets of the configuration", "note", note)
		}
	}
}

// captureOptions returns the options of a source that observes what has names.
func captureOptions(c *config.Config, names *naming.Names, logger *slog.Logger) capture.Options {
	return capture.Options{
		Backend:         c.Capture.Backend,
		RingSize:        int(c.Capture.RingSize),
		FlushInterval:   c.Capture.FlushInterval,
		MaxBytesPerCall: int(c.Capture.MaxBytesPerCall),
		TLS:             c.Capture.TLS == config.Auto,
		Owners:          ownersWanted(c),
		Arrivals:        c.Metrics.Phases,
		Interfaces:      c.Capture.Interfaces,
		Resolve:         names.Counts,
		HasName:         names.HasName, // a reload may add some
		ClientPorts:     names.ClientPorts(),
		ServerPorts:     names.ServerPorts(),
		Paths:           names.Paths(),
		Logger:          logger,
	}
}

// run observes until ctx ends or the endpoint fails. It then detaches the probes, reads the
// remaining events, and stops the endpoint last.
func (o *observer) run(ctx context.Context, hangup <-chan os.Signal) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var beside sync.WaitGroup
	beside.Go(func() {
		if err := o.serve(ctx); err != nil {
			cancel(err)
		}
	})
	beside.Go(func() { o.names.Run(ctx) })
	beside.Go(func() { o.services.run(ctx) })
	if o.podWatch != nil {
		beside.Go(func() { o.podWatch.run(ctx) })
	}
	beside.Go(func() { o.reloader.run(ctx, hangup) })
	beside.Go(func() { watchdog(ctx, o.alive.check, o.logger) })
	closed := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		notify(o.logger, stopping)
		closed <- o.source.Close()
	})

	err := o.observe(o.source, o.alive)
	o.alive.end()
	failure := context.Cause(ctx)
	cancel(err)
	return errors.Join(o.fault(failure), err, o.stop(closed, &beside))
}

// serve starts the endpoint after the existing connections are listed, so that the first scrape
// shows them.
func (o *observer) serve(ctx context.Context) error {
	select {
	case <-o.source.Listed():
	case <-time.After(listingTime):
		o.logger.Warn("the listing of existing connections is not complete; serving scrapes without the rest")
	case <-ctx.Done():
		return nil
	}
	o.dropPrivileges()
	debug.FreeOSMemory() // attaching needs twice the memory of observing, mostly for BTF
	o.alive.beat()
	if o.export != nil {
		o.export.Start(ctx)
	}
	o.logger.Info("redis-observer started", "version", version, "backend", o.source.Backend(), "address", o.endpoint.Address(),
		"client_ports", o.names.ClientPorts(), "server_ports", o.names.ServerPorts())
	notify(o.logger, ready)
	return o.endpoint.Serve()
}

// fault returns the cause of the end, or nil if the caller cancelled.
func (o *observer) fault(cause error) error {
	if errors.Is(cause, context.Canceled) {
		return nil
	}
	return cause
}

// stop waits for the goroutines beside the loop, and for the endpoint.
func (o *observer) stop(closed <-chan error, beside *sync.WaitGroup) error {
	err := <-closed
	if err != nil {
		err = fmt.Errorf("detach probes: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if slow := o.endpoint.Shutdown(ctx); slow != nil {
		o.logger.Warn("requests cut off at shutdown", "error", slow)
	}
	beside.Wait()
	if o.export != nil {
		if late := o.export.Shutdown(ctx); late != nil {
			o.logger.Warn("the last metrics could not be exported", "error", late)
		}
	}
	stats := o.source.Stats()
	o.logger.Info("redis-observer stopped", "events", stats.Events, "bytes", stats.Bytes, "lost", stats.Lost)
	return err
}
