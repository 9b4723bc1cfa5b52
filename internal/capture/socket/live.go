package socket

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-observer/redis-observer/bpf"
	"github.com/redis-observer/redis-observer/internal/capture/attach"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/host"
	"github.com/redis-observer/redis-observer/internal/privilege"
)

// Options are the settings of Open. All are required.
type Options struct {
	RingSize                 int           // bytes, a power of two and a multiple of the page size
	FlushInterval            time.Duration // the longest that an event waits in the ring
	MaxBytesPerCall          int           // payload copied of one socket call; the rest is a Gap
	ClientPorts, ServerPorts []uint16      // ports of the remote end of clients, and of the local end of servers
	Paths                    []event.Path  // Unix sockets to observe; may be empty
	TLS                      bool          // read TLS connections where that is possible
	Owners                   bool          // look for the owners of connections
	Arrivals                 bool          // look for when received bytes became readable
	Logger                   *slog.Logger
}

// Live is the Source of this machine's socket calls, by the probes of package bpf.
type Live struct {
	probes *bpf.Probes
	log    *slog.Logger
	listed chan struct{} // closed when the first listing has been read, and counted by who reads

	// For the goroutine that calls Read only.
	busy     bool        // there were events since the last wait
	ticked   bool        // a Tick was delivered since the last wait
	unticked int         // events since the last Tick
	checked  int64       // time of the last loss check
	judged   uint64      // position of the ring buffer at that time: a full ring moves on
	full     uint64      // events lost to a full ring at that time
	reach    event.Reach // the lower bound for a connection in another network namespace
	tls      tls
	owners   *owners             // nil if they are not looked for
	arrivals *arrivals           // likewise
	foreign  map[uint64]struct{} // connections whose ephemeral port has the number of an observed port
	bytes    uint64
	events   uint64

	lister      *lister
	pending     *listing // complete, but its events have not been read yet
	listingRead bool     // the event that ends a listing was delivered, but perhaps not handled yet

	readEvents, readBytes atomic.Uint64

	statsLock sync.Mutex
	lost      map[string]uint64 // as last read
}

var (
	_ event.Source = (*Live)(nil)
	_ event.Gate   = (*Live)(nil)
)

// Backends returns the names of the backends, in the order in which auto tries them.
func Backends() []string { return bpf.Backends() }

// Host examines this machine.
func Host() bpf.Facts { return bpf.Host() }

// Limits are the reasons why a backend cannot observe Unix sockets or read TLS connections on this
// machine, and the remedies; nil where it can.
type Limits = bpf.Limits

// Try loads and attaches a backend for a moment, without observed ports. The error says why it does
// not work, and the remedy.
func Try(backend string) (Limits, error) {
	limits, err := bpf.Try(backend)
	if err == nil && limits.TLS == nil {
		limits.TLS = attach.Limit()
	}
	return limits, err
}

// Open attaches the probes of a backend, and starts to list the existing connections. The caller
// must Close the Live, and then Read it to its end.
func Open(backend string, options Options) (*Live, error) {
	probes, err := bpf.Open(backend, bpf.Options{
		RingSize:      uint32(options.RingSize),
		MaxBytes:      uint32(options.MaxBytesPerCall),
		FlushInterval: options.FlushInterval,
		ClientPorts:   options.ClientPorts,
		ServerPorts:   options.ServerPorts,
		Paths:         pathsOf(options.Paths),
		TLS:           options.TLS,
		Owners:        options.Owners,
		Arrivals:      options.Arrivals,
	})
	if err != nil {
		if output, found := bpf.VerifierOutput(err); found {
			options.Logger.Debug("the kernel's verifier rejected a program", "backend", backend, "output", output)
		}
		return nil, err
	}
	for _, limit := range probes.Limits() {
		options.Logger.Warn("the probes are limited", "backend", backend, "limit", limit)
	}
	live := newLive(probes, options.Logger)
	if options.Owners {
		live.owners = newOwners()
	}
	if options.Arrivals {
		live.arrivals = new(arrivals)
	}
	live.tls.prepare(probes, options)
	live.observePaths(options.Paths, probes.UnixLimit())
	live.lister.request()
	return live, nil
}

func newLive(probes *bpf.Probes, logger *slog.Logger) *Live {
	return &Live{
		probes:  probes,
		log:     logger,
		listed:  make(chan struct{}),
		reach:   reachElsewhere(),
		foreign: make(map[uint64]struct{}),
		lister:  newLister(probes, logger),
	}
}

// Backend returns the name of the backend in use.
func (l *Live) Backend() string { return l.probes.Backend() }

// Listed is closed when the events of all connections that existed at the start have been read.
func (l *Live) Listed() <-chan struct{} { return l.listed }

// SetPorts replaces the observed ports without detaching, and lists the connections on the new
// ones.
func (l *Live) SetPorts(client, server []uint16) error {
	if err := l.probes.SetPorts(client, server); err != nil {
		return fmt.Errorf("change observed ports: %w", err)
	}
	l.lister.request()
	return nil
}

// SetPaths replaces the observed paths of Unix sockets, and lists the connections on the new ones.
// Where they cannot be observed it logs that.
func (l *Live) SetPaths(paths []event.Path) error {
	err := l.probes.SetPaths(pathsOf(paths))
	if err != nil && !errors.Is(err, bpf.ErrNoUnix) {
		return fmt.Errorf("change observed paths: %w", err)
	}
	l.observePaths(paths, err)
	l.lister.request()
	return nil
}

// observePaths starts or ends the regular listings. limit is the error if the paths cannot be
// observed.
func (l *Live) observePaths(paths []event.Path, limit error) {
	if limit != nil && len(paths) > 0 {
		l.log.Warn("the Unix sockets of the configuration are not observed", "error", limit)
	}
	l.lister.regular.Store(limit == nil && len(paths) > 0)
}

func pathsOf(paths []event.Path) []bpf.Path {
	var list []bpf.Path
	for _, path := range paths {
		list = append(list, bpf.Path{Text: path.Text, Index: path.Index, Server: path.Role == event.Server})
	}
	return list
}

// Relist lists the connections again. A Listed event follows when all have been read.
func (l *Live) Relist() { l.lister.request() }

// Wake ends the wait of a Read, which delivers a Tick then.
func (l *Live) Wake() { l.probes.Wake() }

// Needed returns the capabilities that reading and listing need: none, but before Linux 5.19
// CAP_BPF, even for own maps.
func (l *Live) Needed() privilege.Set {
	readLosses := func() error {
		_, err := l.probes.Lost()
		return err
	}
	if privilege.Works(0, readLosses) {
		return 0
	}
	return privilege.Of(unix.CAP_BPF)
}

// Read implements Source.
func (l *Live) Read(e *event.Event) error {
	for {
		if l.unticked >= maxUnticked {
			l.tick(e)
			return nil
		}
		head, payload, err := l.probes.Next()
		if err != nil {
			l.readEvents.Store(l.events)
			l.readBytes.Store(l.bytes)
			l.Stats() // the last chance to read the loss counters
			l.probes.Release()
			return err
		}
		if head != nil {
			l.busy = true
			l.unticked++
			if l.translate(e, head, payload) {
				return nil
			}
			continue
		}
		if !l.ticked {
			l.tick(e)
			return nil
		}
		if err := l.probes.Wait(l.busy); err != nil {
			return err
		}
		l.busy, l.ticked = false, false
	}
}

// maxUnticked is how many events are delivered in a row without a Tick, if the ring is never empty.
const maxUnticked = 1 << 14

// tick sets e to the event that is delivered each time the ring is empty: a Tick, or Listed. It
// also checks for losses, at most once a second.
func (l *Live) tick(e *event.Event) {
	l.ticked, l.unticked = true, 0
	now := host.Monotonic()
	l.readEvents.Store(l.events)
	l.readBytes.Store(l.bytes)
	if position := l.probes.Position(); now-l.checked >= int64(time.Second) && position != l.judged {
		l.checked, l.judged = now, position
		l.checkLoss()
	}
	if l.listingRead { // handled by now
		l.listingRead = false
		select {
		case <-l.listed:
		default:
			close(l.listed)
		}
	}
	*e = event.Event{Kind: event.Tick, Time: now}
	if l.pending == nil {
		select {
		case done := <-l.lister.done:
			l.pending = &done
		default:
		}
	}
	if l.pending != nil && l.probes.Position() >= l.pending.position {
		if l.pending.complete {
			*e = event.Event{Kind: event.Listed, Time: l.pending.started}
		}
		l.pending = nil
		l.listingRead, l.ticked = true, false
	}
}

// checkLoss lists the connections again if events were lost, because a lost event may be the end of
// a connection.
func (l *Live) checkLoss() {
	lost, err := l.probes.Lost()
	if err != nil {
		l.log.Warn("cannot read loss counters", "error", err)
		return
	}
	if lost["ring_full"] > l.full {
		l.lister.request()
		l.log.Warn("events were lost; listing connections again", "lost", lost["ring_full"]-l.full)
		l.full = lost["ring_full"]
	}
}

// TurnAway implements Gate.
func (l *Live) TurnAway(conn uint64, role event.Role, direction event.Direction, time int64, plaintext event.Plaintext) {
	l.probes.Stop(conn, (direction == event.Request) == (role == event.Client), uint64(time), plaintext != event.NotPlaintext)
}

// Readmit implements Gate.
func (l *Live) Readmit(conn uint64) { l.probes.Lift(conn) }

// ReadmitAll implements Gate.
func (l *Live) ReadmitAll() { l.probes.LiftAll() }

// Stats implements Source.
func (l *Live) Stats() event.Stats {
	l.statsLock.Lock()
	defer l.statsLock.Unlock()
	if lost, err := l.probes.Lost(); err == nil {
		l.lost = lost
	}
	return event.Stats{Events: l.readEvents.Load(), Bytes: l.readBytes.Load(), Lost: maps.Clone(l.lost), TLS: l.tls.stats()}
}

// Close implements Source: it detaches the probes. Read continues until the ring is empty.
func (l *Live) Close() error {
	l.lister.close()
	err := l.probes.Close()
	if err != nil {
		err = fmt.Errorf("detach probes: %w", err)
	}
	return errors.Join(err, l.tls.close())
}
