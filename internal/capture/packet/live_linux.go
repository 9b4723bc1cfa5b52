package packet

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet/afpacket"
	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/capture/packet/sockets"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/host"
	"github.com/redis-observer/redis-observer/internal/privilege"
)

// Backend is the name of the backend that captures packets, for machines on which no probes work.
const Backend = "packet"

// Options are the settings of Open. All but Interfaces and HasName are required.
type Options struct {
	RingSize                 int                                     // bytes, a power of two and a multiple of the page size
	FlushInterval            time.Duration                           // the longest that a packet waits in the ring
	MaxBytesPerCall          int                                     // payload copied of one packet; the rest is a Gap
	ClientPorts, ServerPorts []uint16                                // ports of the remote end of clients, and of the local end of servers
	Interfaces               []string                                // capture only on these; all interfaces if empty
	Resolve                  func(event.Role, *event.Endpoints) bool // whether an end of a connection has a name
	HasName                  func(event.Role, *event.Endpoints) bool // as in ReplayOptions
	Logger                   *slog.Logger
}

const (
	headroom     = 128 // for the headers of a packet
	tickInterval = time.Second
	maxUnticked  = 1 << 8                // packets read in a row without a Tick, if the ring is never empty
	handover     = 20 * time.Millisecond // how much later than the flush interval the kernel may hand over a block
)

// Live is the Source of the packets on this machine's interfaces. Its clock is the monotonic one.
type Live struct {
	ring          *afpacket.Ring
	log           *slog.Logger
	flush         time.Duration
	conversations *conversations
	decoder       frame.Decoder
	packet        afpacket.Packet
	segment       frame.Segment
	ticked        bool // a Tick was delivered since the last packet
	unticked      int  // packets since the last Tick
	listingRead   bool // a Tick was delivered behind all events of the listing
	discarded     uint64
	events, bytes uint64
	dropped       uint64 // packets lost to a full ring before the last listing
	clock         *wallClock
	unlisted      bool  // the listing failed because of a shortage
	checkAt       int64 // time of the next loss check, in the time of the packets

	lost                  losses
	readEvents, readBytes atomic.Uint64
	stopped               atomic.Bool
	listDue               atomic.Bool
	listed                chan struct{} // closed when the first listing has been read, and counted by who reads

	statsLock sync.Mutex
	released  bool
}

var _ event.Source = (*Live)(nil)

// Open starts a capture. The caller must Close the Live, and then Read it to its end.
func Open(options Options) (*Live, error) {
	ring, err := afpacket.Open(afpacket.Options{
		Ports:         union(options.ClientPorts, options.ServerPorts),
		Interfaces:    options.Interfaces,
		RingSize:      options.RingSize,
		FlushInterval: options.FlushInterval,
		SnapLength:    options.MaxBytesPerCall + headroom,
	})
	if err != nil {
		return nil, err
	}
	p := &Live{ring: ring, log: options.Logger, flush: options.FlushInterval, listed: make(chan struct{})}
	p.listDue.Store(true)
	p.clock = newWallClock(p.flush + handover)
	p.conversations = newConversations(options.ClientPorts, options.ServerPorts, options.Resolve, &p.lost)
	if options.HasName != nil {
		p.conversations.hasName = options.HasName
		p.conversations.origins = newOrigins(sockets.Remotes, host.Monotonic, options.Logger)
	}
	options.Logger.Info("packet capture started", "interfaces", options.Interfaces)
	return p, nil
}

// ErrNoUnix says why this backend cannot observe Unix sockets.
var ErrNoUnix = errors.New("no packets pass through Unix sockets")

// Try captures for a moment, without observed ports. The error says why that does not work.
func Try() error {
	ring, err := afpacket.Open(afpacket.Options{RingSize: 1 << 18, FlushInterval: time.Second, SnapLength: headroom})
	if err != nil {
		return err
	}
	ring.Release()
	return nil
}

func union(a, b []uint16) []uint16 {
	both := slices.Concat(a, b)
	slices.Sort(both)
	return slices.Compact(both)
}

// Backend returns the name of the backend.
func (p *Live) Backend() string { return Backend }

// Listed is closed when the connections that existed at the start have been listed.
func (p *Live) Listed() <-chan struct{} { return p.listed }

// SetPaths logs that the Unix sockets of the configuration are not observed: they have no packets.
func (p *Live) SetPaths(paths []event.Path) error {
	if len(paths) > 0 {
		p.log.Warn("the Unix sockets of the configuration are not observed: they have no packets", "backend", Backend)
	}
	return nil
}

// SetPorts replaces the observed ports, and lists the connections on the new ones.
func (p *Live) SetPorts(client, server []uint16) error {
	if err := p.setPorts(union(client, server)); err != nil {
		return fmt.Errorf("change observed ports: %w", err)
	}
	p.conversations.ports.Store(newPortSets(client, server))
	p.listDue.Store(true)
	p.wake()
	return nil
}

func (p *Live) setPorts(ports []uint16) error {
	p.statsLock.Lock()
	defer p.statsLock.Unlock()
	if p.released {
		return os.ErrClosed
	}
	return p.ring.SetPorts(ports)
}

// wake ends the wait of a Read. The caller must not hold statsLock.
func (p *Live) wake() {
	p.statsLock.Lock()
	defer p.statsLock.Unlock()
	if !p.released {
		p.ring.Wake()
	}
}

// Read implements Source.
func (p *Live) Read(e *event.Event) error {
	events := &p.conversations.events
	for events.begin(e); !events.filled; {
		if p.conversations.expire(p.packet.Time) || p.list() {
			continue
		}
		if p.unticked >= maxUnticked {
			p.clock.now()
			p.tick(e, p.packet.Time)
			return nil
		}
		stopped := p.stopped.Load() // before the last read of the ring
		if p.ring.Next(&p.packet) {
			p.ticked = false
			p.unticked++
			p.packet.Time = p.clock.of(p.packet.Time)
			p.decode()
			continue
		}
		if stopped {
			if p.conversations.release(math.MaxInt64) {
				continue
			}
			p.publish()
			p.release()
			return os.ErrClosed
		}
		if !p.ticked {
			p.tick(e, max(p.packet.Time, p.clock.now()-int64(p.flush+handover)))
			return nil
		}
		if err := p.ring.Wait(p.waitTimeout()); err != nil {
			return err
		}
		p.ticked = false
	}
	p.events++
	p.bytes += uint64(len(e.Data))
	return nil
}

// tick sets e to a Tick, which is delivered each time the ring is empty. All packets up to now have
// been read.
func (p *Live) tick(e *event.Event, now int64) {
	p.ticked, p.unticked = true, 0
	p.publish()
	p.packet.Time = now
	*e = event.Event{Kind: event.Tick, Time: p.packet.Time}
	if p.conversations.listing != nil || p.listDue.Load() {
		p.listingRead = false
		return
	}
	if !p.listingRead {
		p.listingRead, p.ticked = true, false // this Tick has its events counted; another one follows
		return
	}
	select {
	case <-p.listed:
	default:
		close(p.listed)
	}
}

// list starts a listing of this machine's sockets if one is due, and queues the event of the next
// connection that is new or has ended. It reports whether it queued an event. It runs in the
// reading goroutine, so that every packet read so far is older than the listing.
func (p *Live) list() bool {
	if p.packet.Time >= p.checkAt {
		p.checkLoss()
	}
	if p.conversations.listing != nil {
		found := p.conversations.reportListed(p.packet.Time)
		if found || p.conversations.listing == nil {
			p.ticked = false // publish the result
		}
		return found
	}
	if !p.listDue.Load() {
		return false
	}
	p.listDue.Store(false) // before the listing: a request during it must start another one
	p.dropped = p.lost[lostRing].Load()
	if err := p.conversations.startListing(host.Monotonic); err != nil {
		p.unlisted = host.Shortage(err)
		p.log.Warn("cannot list sockets; idle connections remain unknown until they carry traffic", "error", err)
	}
	return false
}

// waitTimeout returns how long to wait for packets.
func (p *Live) waitTimeout() time.Duration {
	if p.conversations.listing != nil {
		return p.flush + handover // until the listing can be used
	}
	return tickInterval
}

// checkLoss lists the connections again if packets were lost, because one of them may have been the
// end of a connection.
func (p *Live) checkLoss() {
	p.checkAt = p.packet.Time + int64(tickInterval)
	if p.unlisted {
		p.unlisted = false
		p.listDue.Store(true)
	}
	p.countDrops()
	if lost := p.lost[lostRing].Load(); lost > p.dropped && p.conversations.listing == nil {
		p.log.Warn("packets were lost; listing connections again", "lost", lost-p.dropped)
		p.listDue.Store(true)
	}
}

// decode turns the current packet into events.
func (p *Live) decode() {
	packet := &p.packet
	switch p.decoder.DecodeIP(packet.Protocol, packet.Data, packet.Length, packet.Time, &p.segment) {
	case frame.Whole:
		p.conversations.segment(&p.segment, packet.Time)
	case frame.Malformed:
		p.lost.add(lostMalformed, 1)
	case frame.Snapped:
		p.lost.add(lostSnapped, 1)
	}
}

// publish updates the counters that other goroutines read.
func (p *Live) publish() {
	p.readEvents.Store(p.events)
	p.readBytes.Store(p.bytes)
	given := p.decoder.Discarded()
	p.lost.add(lostFragments, given-p.discarded)
	p.discarded = given
}

// Stats implements Source.
func (p *Live) Stats() event.Stats {
	p.countDrops()
	return event.Stats{Events: p.readEvents.Load(), Bytes: p.readBytes.Load(), Lost: p.lost.byReason()}
}

// countDrops adds the kernel's count of drops, which reading resets.
func (p *Live) countDrops() {
	p.statsLock.Lock()
	defer p.statsLock.Unlock()
	if p.released {
		return
	}
	dropped, err := p.ring.Dropped()
	if err != nil {
		p.log.Warn("cannot read loss counters", "error", err)
	}
	p.lost.add(lostRing, dropped)
}

func (p *Live) release() {
	p.countDrops()
	p.statsLock.Lock()
	defer p.statsLock.Unlock()
	p.released = true
	p.ring.Release()
}

// Close implements Source: it stops the capture. Read continues until the ring is empty.
func (p *Live) Close() error {
	p.statsLock.Lock()
	defer p.statsLock.Unlock()
	if p.released || p.stopped.Load() {
		return nil
	}
	if err := p.ring.Stop(); err != nil {
		return fmt.Errorf("stop capture: %w", err)
	}
	time.Sleep(p.flush + handover)
	p.stopped.Store(true)
	p.ring.Wake()
	return nil
}

// Needed returns the capabilities that the source still needs: none, because the socket is open.
func (p *Live) Needed() privilege.Set { return privilege.Of() }
