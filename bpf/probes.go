package bpf

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// Probes are the attached programs of one backend and the ring that they write to.
// Next, Wait, Position, Stop, Lift, LiftAll and Release are for one goroutine, the reader. The other methods are safe for use by any, at any time: what they use stays
// while they run, and when it has been freed they say so.
type Probes struct {
	backend string
	closed  atomic.Bool // nothing writes to the ring any more

	*shares          // those of the methods, each while it runs, and one of the reader until Release
	reader   *reader // of the reader, as what follows; nil after Release
	released bool

	lock     sync.Mutex // of what follows
	attached []*attached
	missed   uint64 // what return probes had missed when they were detached
}

// reader is what the reader looks at all the time.
type reader struct {
	*merge
	*waiter
	*stops
}

// Backend returns the name of the backend.
func (p *Probes) Backend() string { return p.backend }

// Limits says what the attached programs cannot do on this machine, and the remedy.
func (p *Probes) Limits() []string {
	p.lock.Lock()
	defer p.lock.Unlock()
	var limits []string
	for _, a := range p.attached {
		for _, l := range a.links {
			if limited, ok := l.(limitedLink); ok {
				limits = append(limits, limited.limit)
			}
		}
	}
	return limits
}

// attach attaches a tap, until detach or Close. Any goroutine may call it, at any time: the others go on meanwhile. After Close the error is
// os.ErrClosed.
func (p *Probes) attach(t *tap) (*attached, error) {
	if p.take() == nil {
		return nil, os.ErrClosed
	}
	defer p.giveBack()
	a, err := t.attach()
	if err != nil {
		return nil, err
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.closed.Load() {
		return nil, errors.Join(os.ErrClosed, a.detach())
	}
	p.attached = append(p.attached, a)
	return a, nil
}

// detach detaches a tap; nothing happens if that was done already. Any goroutine may call it, at any time.
func (p *Probes) detach(a *attached) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	i := slices.Index(p.attached, a)
	if i < 0 {
		return nil
	}
	p.attached = slices.Delete(p.attached, i, i+1)
	p.missed += a.missedCalls()
	return a.detach()
}

// SetPorts replaces the observed ports, without detaching. Nothing is stopped then. After Release the error is os.ErrClosed.
func (p *Probes) SetPorts(client, server []uint16) error {
	o := p.take()
	if o == nil {
		return fmt.Errorf("set ports: %w", os.ErrClosed)
	}
	defer p.giveBack()
	return o.stops.renew(func() error { return o.setPorts(client, server) })
}

// Stop makes the probes pass over what a connection sends, or what it receives. It is to be called for each event that nobody wants, with its
// connection and its time, and takes effect at the second one at the earliest. It ends with the connection, at the latest.
func (p *Probes) Stop(conn uint64, sent bool, time uint64) {
	direction := observerStopDirectionSTOP_RECEIVED
	if sent {
		direction = observerStopDirectionSTOP_SENT
	}
	if p.reader != nil {
		p.reader.stop(conn, uint64(direction), time)
	}
}

// Lift ends the stops of a connection.
func (p *Probes) Lift(conn uint64) {
	if p.reader != nil {
		p.reader.lift(conn)
	}
}

// LiftAll ends the stops of all connections.
func (p *Probes) LiftAll() {
	if p.reader != nil {
		p.reader.liftAll()
	}
}

// Next returns the next event and its payload; both are valid until the next call. A nil event says that there is none:
// Wait before the next call. After Close, and when all events are read, the error is os.ErrClosed; after Release too.
func (p *Probes) Next() (*Event, []byte, error) {
	if p.reader == nil {
		return nil, nil, os.ErrClosed
	}
	closed := p.closed.Load() // before looking for events: afterwards there may be new ones
	event, payload := p.reader.next()
	if event == nil && closed && !p.reader.stuck {
		return nil, nil, os.ErrClosed
	}
	return event, payload, nil
}

// Wait returns when there may be events, after a flush interval at the latest while there were any lately (busy), and
// after a second otherwise.
func (p *Probes) Wait(busy bool) error {
	if p.reader == nil || p.closed.Load() {
		return nil
	}
	return p.reader.wait(busy)
}

// Position returns the position in the ring up to which Next has read; Produced the one up to which probes have written.
func (p *Probes) Position() uint64 {
	if p.reader == nil {
		return math.MaxUint64
	}
	return p.reader.ring.position
}

// Release gives up the reader's share, after Close. What is owned is freed when no method uses it any more.
func (p *Probes) Release() {
	if p.released {
		return
	}
	p.released, p.reader = true, nil
	p.giveBack()
}

// Wake ends the current or the next Wait.
func (p *Probes) Wake() {
	if o := p.take(); o != nil {
		defer p.giveBack()
		if o.waiter != nil { // of one that could not be opened
			o.waiter.interrupt()
		}
	}
}

// Produced returns the position in the ring behind the newest event; 0 when all is freed. See Position.
func (p *Probes) Produced() uint64 {
	o := p.take()
	if o == nil {
		return 0
	}
	defer p.giveBack()
	return o.ring.end()
}

// Lost returns what the probes lost since they were loaded, by reason. After Release the error is os.ErrClosed.
func (p *Probes) Lost() (map[string]uint64, error) {
	o := p.take()
	if o == nil {
		return nil, fmt.Errorf("read lost events: %w", os.ErrClosed)
	}
	defer p.giveBack()
	lost := make(map[string]uint64)
	for kind, reason := range map[observerLoss]string{
		observerLossLOST_RING_FULL:  "ring_full",
		observerLossLOST_NO_STORAGE: "no_storage",
	} {
		var perCPU []uint64
		if err := o.shared.Maps[observerMapLost].Lookup(uint32(kind), &perCPU); err != nil {
			return nil, fmt.Errorf("read lost events: %w", err)
		}
		lost[reason] = 0
		for _, n := range perCPU {
			lost[reason] += n
		}
	}
	missed, err := o.missedRuns()
	lost["missed_run"] = missed + p.missedCalls()
	return lost, err
}

// missedCalls returns how many calls return probes could not follow because they followed too many others.
func (p *Probes) missedCalls() uint64 {
	p.lock.Lock()
	defer p.lock.Unlock()
	sum := p.missed
	for _, a := range p.attached {
		sum += a.missedCalls()
	}
	return sum
}

// Close detaches all taps. What is in the ring can still be read; the reader calls Release then.
func (p *Probes) Close() error {
	p.lock.Lock()
	defer p.lock.Unlock()
	var errs []error
	for _, a := range slices.Backward(p.attached) {
		p.missed += a.missedCalls()
		errs = append(errs, a.detach())
	}
	p.attached = nil
	// Not before: Next must not find the ring empty for good while probes still write.
	p.closed.Store(true)
	p.Wake()
	return errors.Join(errs...)
}
