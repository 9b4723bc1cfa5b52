package main

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/address"
	"github.com/redis-observer/redis-observer/internal/command"
	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/export/otlp"
	"github.com/redis-observer/redis-observer/internal/metrics"
)

// exportOptions returns what the configuration says of the export, without what is exported.
func exportOptions(o *config.OTLP) (otlp.Options, error) {
	options := otlp.Options{
		Endpoint: o.Endpoint,
		GRPC:     o.Protocol == config.GRPC,
		Headers:  o.Headers,
		Interval: o.Interval,
		Timeout:  min(o.Timeout, o.Interval),
		Gzip:     o.Compression == config.Gzip,
		Version:  version,
	}
	if endpoint, err := url.Parse(o.Endpoint); err == nil && strings.EqualFold(endpoint.Scheme, "https") {
		if options.TLS, err = o.TLS.Config(); err != nil {
			return options, err
		}
	}
	return options, nil
}

// newExport returns the exporter of the configuration, nil if there is none. It does not export yet.
func newExport(ctx context.Context, c *config.Config, s *stages, servers *servers, logger *slog.Logger) (*otlp.Exporter, error) {
	if c.OTLP.Endpoint == "" {
		return nil, nil
	}
	options, err := exportOptions(&c.OTLP)
	if err != nil {
		return nil, err
	}
	options.Gather, options.Logger = s.recorder.Gather, logger
	if semantic(c) {
		options.Gather = s.recorder.GatherByError
		options.Semconv = &otlp.Semconv{Operation: operations(s.commands, c.Metrics.Style()), Server: servers.of}
	}
	return otlp.New(ctx, options)
}

// reachTime is how long check waits for the collector.
const reachTime = 2 * time.Second

// collectorAccess is whether the collector of the export can be reached from here, now.
type collectorAccess struct {
	Endpoint string `json:"endpoint"`
	Reached  bool   `json:"reached"`
	Error    string `json:"error,omitempty"` // with the remedy
}

// checkCollector connects to the collector, if there is to be an export; otherwise it returns nil.
func checkCollector(ctx context.Context, c *config.Config) *collectorAccess {
	if c.OTLP.Endpoint == "" {
		return nil
	}
	options, err := exportOptions(&c.OTLP)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, reachTime)
		defer cancel()
		err = otlp.Reach(ctx, &options)
	}
	access := &collectorAccess{Endpoint: c.OTLP.Endpoint, Reached: err == nil}
	if err != nil {
		access.Error = err.Error()
	}
	return access
}

// String returns the endpoint, and whether somebody listens there.
func (a collectorAccess) String() string {
	if !a.Reached {
		return a.Endpoint + " cannot be reached from here: " + a.Error
	}
	return a.Endpoint + " can be reached"
}

// exportStats returns the counters of the exports, nil if there are none.
func (o *observer) exportStats() func() metrics.ExportStats {
	if o.export == nil {
		return nil
	}
	return func() metrics.ExportStats { return metrics.ExportStats(o.export.Stats()) }
}

// operations returns the function from labels to commands as they are written: CONFIG GET. A label
// that several commands have stays, in capitals.
func operations(commands *command.Table, style command.Style) func(string) string {
	names := map[string]string{}
	for id := range command.ID(commands.Count()) {
		label := commands.Label(id, style)
		name := strings.ToUpper(strings.ReplaceAll(commands.Wire(id), "|", " "))
		if _, shared := names[label]; shared {
			name = strings.ToUpper(label)
		}
		names[label] = name
	}
	names[commands.Label(command.Other, style)] = "_OTHER" // as the conventions call what is not in a list
	return func(label string) string { return names[label] }
}

// servers are the addresses of names that have just one. They change with a reload.
type servers struct {
	byName atomic.Pointer[map[string]address.Address]
}

// set takes the names of a configuration.
func (s *servers) set(c *config.Config) {
	byName := map[string]address.Address{}
	several := map[string]bool{c.DefaultName: true} // the name of whatever has no other
	for _, endpoint := range c.Endpoints {
		for _, a := range endpoint.Addresses {
			if _, found := byName[endpoint.Name]; found || !single(a) {
				several[endpoint.Name] = true
			}
			byName[endpoint.Name] = a
		}
	}
	for name := range several {
		delete(byName, name)
	}
	s.byName.Store(&byName)
}

// single reports whether an address is one server's.
func single(a address.Address) bool {
	if a.Path != "" {
		return true
	}
	return a.Ports.Single() && (a.Host != "" || a.Service != "" || a.Prefix.IsValid() && a.Prefix.IsSingleIP())
}

// of returns the address of a name and its port. See otlp.Semconv.
func (s *servers) of(name string) (host string, port int) {
	a, found := (*s.byName.Load())[name]
	if !found {
		return "", 0
	}
	port = int(a.Ports.First)
	switch {
	case a.Path != "":
		return a.Path, 0
	case a.Service != "":
		space, service, _ := strings.Cut(a.Service, "/")
		return service + "." + space + ".svc", port
	case a.Host != "":
		return a.Host, port
	}
	return a.Prefix.Addr().String(), port
}
