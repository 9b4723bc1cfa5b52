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

// Probes are the attached taps, and the rings that they write to.
//
// Only one goroutine, the reader, may call Next, Wait, Position, Stop, Lift, LiftAll and Release.
// Any goroutine may call the other methods, at any time: nothing that they use is freed while they
// run, and after it has been freed they return os.ErrClosed or zero.
type Probes struct {
	backend string
	closed  atomic.Bool // no probe writes to the rings any more

	*shares          // one for each running method, and one for the reader until Release
	reader   *reader // for the reader only; nil after Release
	released bool

	ending    sync.Once  // Close
	lock      sync.Mutex // protects the fields below
	ended     bool       // no tap may be attached any more
	attached  []*attached
	libraries tlsLibraries
	paths     *attached // the tap of Unix sockets, nil while no path is observed
	missed    uint64    // calls missed by return probes that were detached since
}

// reader is the state that the reader uses for each event.
type reader struct {
	*merge
	*waiter
	*stops
}

// Backend returns the name of the backend.
func (p *Probes) Backend() string { return p.backend }

// Limits returns what the attached programs cannot do on this machine, with the remedy.
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

// attach attaches a tap until detach or Close, while the other taps continue. Any goroutine may
// call it. After Close the error is os.ErrClosed.
func (p *Probes) attach(t *tap) (*attached, error) {
	if p.take() == nil {
		return nil, os.ErrClosed
	}
	defer p.giveBack()
	a, err := t.attach()
	if err != nil {
		return nil, err
	}
	if !p.add(a) {
		return nil, errors.Join(os.ErrClosed, a.detach())
	}
	return a, nil
}

// add records an attached tap. It returns false after Close.
func (p *Probes) add(a *attached) bool {
	p.lock.Lock()
	defer p.lock.Unlock()
	if !p.ended {
		p.attached = append(p.attached, a)
	}
	return !p.ended
}

// detach detaches a tap; a second call has no effect. Any goroutine may call it.
func (p *Probes) detach(a *attached) error {
	if !p.remove(a) {
		return nil
	}
	return a.detach()
}

// remove removes an attached tap from the records. It returns false if that was done already.
func (p *Probes) remove(a *attached) bool {
	p.lock.Lock()
	defer p.lock.Unlock()
	i := slices.Index(p.attached, a)
	if i < 0 {
		return false
	}
	p.attached = slices.Delete(p.attached, i, i+1)
	p.missed += a.missedCalls()
	return true
}

// SetPorts replaces the observed ports without detaching, and ends all stops. After Release the
// error is os.ErrClosed.
func (p *Probes) SetPorts(client, server []uint16) error {
	o := p.take()
	if o == nil {
		return fmt.Errorf("set ports: %w", os.ErrClosed)
	}
	defer p.giveBack()
	return o.stops.renew(func() error { return o.setPorts(client, server) })
}

// Stop makes the probes skip the payload that a connection sends (sent), or receives; of a TLS
// connection the plaintext or the ciphertext. Call it for each unwanted event, with the connection
// and the time of that event: it takes effect at the second call at the earliest, and ends with the
// connection at the latest.
func (p *Probes) Stop(conn uint64, sent bool, time uint64, plaintext bool) {
	direction := observerStopDirectionSTOP_RECEIVED
	if sent {
		direction = observerStopDirectionSTOP_SENT
	}
	if p.reader != nil {
		p.reader.stop(conn, uint64(direction), time, plaintext)
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

// Next returns the next event and its payload; both are valid until the next call. The event is nil
// if there is none yet: call Wait then. The error is os.ErrClosed after Close, once all events have
// been read, and after Release.
func (p *Probes) Next() (*Event, []byte, error) {
	if p.reader == nil {
		return nil, nil, os.ErrClosed
	}
	closed := p.closed.Load() // before reading, so that no event is written after the last read
	event, payload := p.reader.next()
	if event == nil && closed && !p.reader.stuck {
		return nil, nil, os.ErrClosed
	}
	return event, payload, nil
}

// Wait returns when there may be events: after at most the flush interval if there were events
// lately, and after at most a second otherwise. busy says whether there were events since the last
// Wait.
func (p *Probes) Wait(busy bool) error {
	if p.reader == nil || p.closed.Load() {
		return nil
	}
	return p.reader.wait(busy, p.reader.fill())
}

// Position returns the position in the ring buffer up to which Next has read. See Produced.
func (p *Probes) Position() uint64 {
	if p.reader == nil {
		return math.MaxUint64
	}
	return p.reader.ring.position
}

// Release ends reading, after Close. Maps and programs are freed as soon as no other method uses
// them.
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
		if o.waiter != nil { // nil if opening failed
			o.waiter.interrupt()
		}
	}
}

// Produced returns the position in the ring buffer behind the newest event; 0 after everything was
// freed.
func (p *Probes) Produced() uint64 {
	o := p.take()
	if o == nil {
		return 0
	}
	defer p.giveBack()
	return o.ring.end()
}

// Lost returns the number of lost events or calls since Open, by reason. After Release the error is
// os.ErrClosed.
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

// missedCalls returns how many calls the return probes missed because they were following too many
// others.
func (p *Probes) missedCalls() uint64 {
	p.lock.Lock()
	defer p.lock.Unlock()
	sum := p.missed
	for _, a := range p.attached {
		sum += a.missedCalls()
	}
	return sum
}

// Close detaches all taps. The reader can still read the remaining events, and must call Release
// then.
func (p *Probes) Close() error {
	var errs []error
	p.ending.Do(func() {
		for _, a := range slices.Backward(p.endAttaching()) {
			errs = append(errs, p.detach(a))
		}
		// Only after detaching: else Next could report the end while probes still write.
		p.closed.Store(true)
		p.Wake()
	})
	return errors.Join(errs...)
}

// endAttaching makes attach fail from now on, and returns the taps that are attached.
func (p *Probes) endAttaching() []*attached {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.ended = true
	return slices.Clone(p.attached)
}
