package packet

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/capture/packet/afpacket"
	"github.com/redis-observer/redis-observer/internal/capture/packet/frame"
	"github.com/redis-observer/redis-observer/internal/event"
	"github.com/redis-observer/redis-observer/internal/host"
	"github.com/redis-observer/redis-observer/internal/privilege"
)

// Backend is the name of the backend that captures packets, for kernels without what the probes need.
const Backend = "packet"

// Options say what a Live observes and how. All but Interfaces are required.
type Options struct {
	RingSize                 int                                     // bytes, a power of two and a multiple of the page size
	FlushInterval            time.Duration                           // the longest that a packet waits in the ring
	MaxBytesPerCall          int                                     // payload copied of one packet; what lies beyond is a Gap
	ClientPorts, ServerPorts []uint16                                // ports of the remote end of clients, and of the local end of servers
	Interfaces               []string                                // those whose packets are captured, none for all
	Resolve                  func(event.Role, *event.Endpoints) bool // whether an end of a connection has a name
	Logger                   *slog.Logger
}

const (
	headroom  = 128 // for the headers of a packet
	tickEvery = time.Second
	untold    = 1 << 8                // so many packets at most are read without a Tick where the ring is never empty
	handover  = 20 * time.Millisecond // what the kernel's timer may take beyond the flush interval to hand over the block that it was filling
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
	ticked        bool // since the last packet
	unticked      int  // packets since the last Tick
	givenUp       uint64
	events, bytes uint64
	dropped       uint64 // packets lost to a full ring when the sockets were listed last
	clock         *dayClock
	unlisted      bool  // sockets could not be listed for a shortage
	checkAt       int64 // when losses are looked at next, in time of the packets

	lost                  losses
	readEvents, readBytes atomic.Uint64
	stopped               atomic.Bool
	listDue               atomic.Bool
	listed                chan struct{} // closed when the first listing has been read

	statsLock sync.Mutex
	released  bool
}

var _ event.Source = (*Live)(nil)

// Open begins to capture.
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
	p.clock = newDayClock(p.flush + handover)
	p.conversations = newConversations(options.ClientPorts, options.ServerPorts, options.Resolve, &p.lost)
	options.Logger.Info("packet capture started", "interfaces", options.Interfaces)
	return p, nil
}

// Try finds out whether packets can be captured, for a moment and without any port.
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

// Listed is closed when the connections that existed at the start are known.
func (p *Live) Listed() <-chan struct{} { return p.listed }

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

// wake makes a Read that waits look around. Whoever calls it holds no lock.
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
		if p.unticked >= untold {
			p.clock.now()
			p.tick(e, p.packet.Time)
			return nil
		}
		stopped := p.stopped.Load() // before the last look into the ring
		if p.ring.Next(&p.packet) {
			p.ticked = false
			p.unticked++
			p.packet.Time = p.clock.of(p.packet.Time)
			p.take()
			continue
		}
		if stopped {
			p.publish()
			p.release()
			return os.ErrClosed
		}
		if !p.ticked {
			p.tick(e, max(p.packet.Time, p.clock.now()-int64(p.flush+handover)))
			return nil
		}
		if err := p.ring.Wait(p.patience()); err != nil {
			return err
		}
		p.ticked = false
	}
	p.events++
	p.bytes += uint64(len(e.Data))
	return nil
}

// tick makes the event that is delivered each time the ring is empty, and says up to when everything has been read.
func (p *Live) tick(e *event.Event, now int64) {
	p.ticked, p.unticked = true, 0
	p.publish()
	p.packet.Time = now
	*e = event.Event{Kind: event.Tick, Time: p.packet.Time}
	if p.conversations.census != nil || p.listDue.Load() {
		return
	}
	select {
	case <-p.listed:
	default:
		close(p.listed)
	}
}

// list looks at the sockets of this machine if that is due, and tells of the next connection that is new or no more. It reports
// whether there was one. It is done by the goroutine that reads, so that every packet that was read is older.
func (p *Live) list() bool {
	if p.packet.Time >= p.checkAt {
		p.checkLoss()
	}
	if p.conversations.census != nil {
		found := p.conversations.reckon(p.packet.Time)
		if found || p.conversations.census == nil {
			p.ticked = false // what is known now is to be published
		}
		return found
	}
	if !p.listDue.Load() {
		return false
	}
	p.listDue.Store(false) // before the look: what is asked for meanwhile asks for another
	p.dropped = p.lost[lostRing].Load()
	if err := p.conversations.count(host.Monotonic); err != nil {
		p.unlisted = host.Shortage(err)
		p.log.Warn("cannot list sockets; idle connections remain unknown until they carry traffic", "error", err)
	}
	return false
}

// patience is how long packets are waited for.
func (p *Live) patience() time.Duration {
	if p.conversations.census != nil {
		return p.flush + handover // until it can be used
	}
	return tickEvery
}

// checkLoss lists the connections again if packets were lost, because one of them may have been the end of a connection.
func (p *Live) checkLoss() {
	p.checkAt = p.packet.Time + int64(tickEvery)
	if p.unlisted {
		p.unlisted = false
		p.listDue.Store(true)
	}
	p.countDrops()
	if lost := p.lost[lostRing].Load(); lost > p.dropped && p.conversations.census == nil {
		p.log.Warn("packets were lost; listing connections again", "lost", lost-p.dropped)
		p.listDue.Store(true)
	}
}

// take turns one packet into events.
func (p *Live) take() {
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

// publish updates what other goroutines may read.
func (p *Live) publish() {
	p.readEvents.Store(p.events)
	p.readBytes.Store(p.bytes)
	given := p.decoder.GivenUp()
	p.lost.add(lostFragments, given-p.givenUp)
	p.givenUp = given
}

// Stats implements Source.
func (p *Live) Stats() event.Stats {
	p.countDrops()
	return event.Stats{Events: p.readEvents.Load(), Bytes: p.readBytes.Load(), Lost: p.lost.byReason()}
}

// countDrops takes over what the kernel counted, which begins anew each time that it is read.
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

// Close implements Source: nothing more is captured, and Read goes on until the ring is empty.
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

// Needed returns the capabilities without which packets cannot be read from now on: none, the socket was the last that took one.
func (p *Live) Needed() privilege.Set { return privilege.Of() }
