package bpf

import (
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// owned is everything that Probes map and open, and that must be freed: descriptors, and memory
// that the kernel writes to.
type owned struct {
	shared                *ebpf.Collection // the maps and the variables, without programs
	socket, life, listing *tap
	arrivals              taps // one if they are reported, else none
	unix                  unixTaps
	tls                   tlsTaps
	ring                  *ring
	percpu                []byte // the memory of the per-CPU rings
	merge                 *merge // of the ring buffer and the per-CPU rings
	waiter                *waiter
	stops                 *stops
}

// taps returns the taps that every backend needs.
func (o *owned) taps() taps { return taps{o.socket, o.life, o.listing} }

// first returns the taps to attach when the probes are opened, in this order.
func (o *owned) first() taps { return append(taps{o.life}, append(o.arrivals, o.socket)...) }

// shares count the users of owned. Each user takes a share first and gives it back afterwards; the
// last one to give back frees everything. So nothing is freed while it is used, in whatever order
// users are called.
type shares struct {
	held  atomic.Int64
	owned *owned
}

// newShares returns shares with one user, the caller.
func newShares(o *owned) *shares {
	s := &shares{owned: o}
	s.held.Store(1)
	return s
}

// take takes a share; the caller must give it back. It returns nil if everything has been freed.
func (s *shares) take() *owned {
	for {
		held := s.held.Load()
		if held == 0 {
			return nil
		}
		if s.held.CompareAndSwap(held, held+1) {
			return s.owned
		}
	}
}

// giveBack gives back a share; the last one frees everything.
func (s *shares) giveBack() {
	if s.held.Add(-1) == 0 {
		s.owned.free()
	}
}

func (o *owned) free() {
	if o.ring != nil {
		_ = o.ring.close()
	}
	if o.percpu != nil {
		_ = unix.Munmap(o.percpu)
	}
	if o.waiter != nil {
		_ = o.waiter.close()
	}
	if o.stops != nil {
		o.stops.close()
	}
	for _, group := range []taps{o.taps(), o.arrivals, o.unix.loaded(), o.tls.loaded()} {
		group.close()
	}
	if o.shared != nil {
		o.shared.Close()
	}
}

func (o *owned) setPorts(client, server []uint16) error {
	for name, ports := range map[string][]uint16{observerVarClientPorts: client, observerVarServerPorts: server} {
		var bits [8192]uint8
		for _, port := range ports {
			bits[port>>3] |= 1 << (port & 7)
		}
		if err := o.shared.Variables[name].Set(bits); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// missedRuns returns how often the kernel skipped programs that have no duplicates.
func (o *owned) missedRuns() (uint64, error) {
	var sum uint64
	for _, t := range slices.Concat(o.taps(), o.unix.loaded(), o.tls.loaded()) {
		missed, err := t.missedRuns()
		if err != nil {
			return sum, err
		}
		sum += missed
	}
	return sum, nil
}
