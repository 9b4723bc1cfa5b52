package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet"
	"github.com/redis-observer/redis-observer/internal/capture/socket"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/host"
	"github.com/redis-observer/redis-observer/internal/privilege"
)

// Auto selects the first of Backends that works.
const Auto = "auto"

// Source is the source of this machine's events.
type Source interface {
	event.Source
	// SetPorts replaces the observed ports. Any goroutine may call it.
	SetPorts(client, server []uint16) error
	// SetPaths replaces the observed paths of Unix sockets. Any goroutine may call it.
	SetPaths(paths []event.Path) error
	Backend() string
	// Listed is closed when the events of all connections that existed at the start have been read,
	// and a Tick or Listed behind them: not before the Read after that one, so that whoever reads has
	// handled it.
	Listed() <-chan struct{}
	// Needed returns the capabilities that the source still needs.
	Needed() privilege.Set
}

// Options are the settings of Open. All but Interfaces and Paths are required.
type Options struct {
	Backend                  string                                  // Auto, or one of Backends
	RingSize                 int                                     // bytes, a power of two and a multiple of the page size
	FlushInterval            time.Duration                           // the longest that an event waits in the ring
	MaxBytesPerCall          int                                     // payload copied of one socket call or packet; the rest is a Gap
	ClientPorts, ServerPorts []uint16                                // ports of the remote end of clients, and of the local end of servers
	Paths                    []event.Path                            // Unix sockets to observe
	TLS                      bool                                    // read TLS connections where that is possible; not by packets
	Owners                   bool                                    // look for the owners of connections; not by packets
	Arrivals                 bool                                    // look for when received bytes became readable; not by packets
	Interfaces               []string                                // capture packets only on these; all interfaces if empty
	Resolve                  func(event.Role, *event.Endpoints) bool // whether an end of a connection has a name; used for packets
	HasName                  func(event.Role, *event.Endpoints) bool // whether that is a name of its own; used for packets
	Logger                   *slog.Logger
}

// backend is a way to observe this machine.
type backend struct {
	name string
	open func(Options) (Source, error)
	try  func() (socket.Limits, error) // tries it for a moment, without observed ports
}

var errPackets = errors.New("no eBPF backend is used, and packets are encrypted")

// backends returns all backends, in the order in which Auto tries them.
func backends() []backend {
	var table []backend
	for _, name := range socket.Backends() {
		table = append(table, backend{name, func(o Options) (Source, error) { return openSockets(name, o) }, func() (socket.Limits, error) { return socket.Try(name) }})
	}
	return append(table, backend{packet.Backend, openPackets, func() (socket.Limits, error) {
		return socket.Limits{Unix: packet.ErrNoUnix, TLS: errPackets}, packet.Try()
	}})
}

// Backends returns the names of all backends, in the order in which Auto tries them.
func Backends() []string {
	var names []string
	for _, b := range backends() {
		names = append(names, b.name)
	}
	return names
}

func openSockets(name string, o Options) (Source, error) {
	live, err := socket.Open(name, socket.Options{
		RingSize:        o.RingSize,
		FlushInterval:   o.FlushInterval,
		MaxBytesPerCall: o.MaxBytesPerCall,
		ClientPorts:     o.ClientPorts,
		ServerPorts:     o.ServerPorts,
		Paths:           o.Paths,
		TLS:             o.TLS,
		Owners:          o.Owners,
		Arrivals:        o.Arrivals,
		Logger:          o.Logger,
	})
	if err != nil {
		return nil, err // not a nil *Live in the interface
	}
	return live, nil
}

// maxPacketFlush is the longest that packets wait in the ring: a scrape cannot make the kernel hand
// them over before.
const maxPacketFlush = 5 * time.Millisecond

func openPackets(o Options) (Source, error) {
	live, err := packet.Open(packet.Options{
		RingSize:        o.RingSize,
		FlushInterval:   min(o.FlushInterval, maxPacketFlush),
		MaxBytesPerCall: o.MaxBytesPerCall,
		ClientPorts:     o.ClientPorts,
		ServerPorts:     o.ServerPorts,
		Interfaces:      o.Interfaces,
		Resolve:         o.Resolve,
		HasName:         o.HasName,
		Logger:          o.Logger,
	})
	if err != nil {
		return nil, err // not a nil *Live in the interface
	}
	return live, live.SetPaths(o.Paths)
}

// How long Open retries during a shortage, such as of descriptors, and the pause between two tries.
const (
	shortageTime  = 10 * time.Second
	shortagePause = 250 * time.Millisecond
)

// Open opens a source. A named backend never falls back to another one. Auto uses the first backend
// that works, and logs why the earlier ones do not. During a shortage Open retries for
// shortageTime, because that says nothing about a backend. The caller must Close the source, and
// then Read it to its end.
func Open(ctx context.Context, options Options) (Source, error) {
	for deadline := time.Now().Add(shortageTime); ; {
		source, err := openFirst(ctx, options)
		if err == nil {
			return source, nil
		}
		if !host.Shortage(err) || time.Now().After(deadline) {
			return nil, fmt.Errorf("open capture: %w", err)
		}
		options.Logger.Warn("cannot attach probes yet; retrying", "error", err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("open capture: %w", context.Cause(ctx))
		case <-time.After(shortagePause):
		}
	}
}

// openFirst opens the first of the requested backends that works. The error is that of a shortage,
// or joins those of all backends.
func openFirst(ctx context.Context, options Options) (Source, error) {
	var refused []error
	for _, b := range backends() {
		if options.Backend != Auto && options.Backend != b.name {
			continue
		}
		source, err := b.open(options)
		switch {
		case err == nil:
			logOpened(options, b.name, refused)
			return source, nil
		case host.Shortage(err) || ctx.Err() != nil:
			return nil, err
		}
		refused = append(refused, err)
	}
	return nil, errors.Join(refused...)
}

func logOpened(options Options, name string, refused []error) {
	switch {
	case name != packet.Backend:
		options.Logger.Info("probes attached", "backend", name, "passed_over", texts(refused))
	case options.Backend == Auto:
		options.Logger.Warn("no eBPF backend works on this host; falling back to packet capture, which uses more CPU and does not see other network namespaces",
			"error", errors.Join(refused...))
	}
}

func texts(errs []error) []string {
	var list []string
	for _, err := range errs {
		list = append(list, err.Error())
	}
	return list
}
