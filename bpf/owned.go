package bpf

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// owned is what Probes map and open, and free again: memory that the kernel writes to, and descriptors.
type owned struct {
	shared                *ebpf.Collection // the maps and the variables, without programs
	socket, life, listing *tap
	ring                  *ring
	lanes                 []byte // the memory of the lanes
	merge                 *merge // of the ring and the lanes
	waiter                *waiter
	stops                 *stops
}

// taps returns all taps. A further one is a field of owned and stands here; what it is attached by stands in Probes.
func (o *owned) taps() []*tap { return []*tap{o.socket, o.life, o.listing} }

// shares lead to what is owned. Whoever uses any of it holds a share meanwhile, and what gives the last one back frees it: nothing is freed under
// a user, in whatever order the users are called.
type shares struct {
	held  atomic.Int64
	owned *owned
}

// newShares returns shares of which the caller holds one.
func newShares(o *owned) *shares {
	s := &shares{owned: o}
	s.held.Store(1)
	return s
}

// take takes a share, to be given back. It returns nil if everything is freed.
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

// giveBack gives up a share that was taken.
func (s *shares) giveBack() {
	if s.held.Add(-1) == 0 {
		s.owned.free()
	}
}

func (o *owned) free() {
	if o.ring != nil {
		_ = o.ring.close()
	}
	if o.lanes != nil {
		_ = unix.Munmap(o.lanes)
	}
	if o.waiter != nil {
		_ = o.waiter.close()
	}
	if o.stops != nil {
		o.stops.close()
	}
	for _, t := range o.taps() {
		if t != nil { // of probes that could not be opened
			t.close()
		}
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
	for _, t := range o.taps() {
		missed, err := t.missedRuns()
		if err != nil {
			return sum, err
		}
		sum += missed
	}
	return sum, nil
}
