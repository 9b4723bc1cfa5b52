package bpf

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// owned is what Probes map and open, and free again: memory that the kernel writes to, and descriptors.
type owned struct {
	collection *ebpf.Collection
	spares     []*ebpf.Collection // the further copies of the backend's programs
	ring       *ring
	lanes      []byte // the memory of the lanes
	merge      *merge // of the ring and the lanes
	waiter     *waiter
	stops      *stops
}

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
	for _, spare := range o.spares {
		spare.Close()
	}
	if o.collection != nil {
		o.collection.Close()
	}
}

func (o *owned) setPorts(client, server []uint16) error {
	for name, ports := range map[string][]uint16{observerVarClientPorts: client, observerVarServerPorts: server} {
		var bits [8192]uint8
		for _, port := range ports {
			bits[port>>3] |= 1 << (port & 7)
		}
		if err := o.collection.Variables[name].Set(bits); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// missed returns how often the kernel skipped a program because it was running already on that processor. Of a program that has copies nobody can tell which calls all of them missed, but
// by the gap that such a call leaves in its stream.
func (o *owned) missed() (uint64, error) {
	var sum uint64
	for name, program := range o.collection.Programs {
		if o.hasCopies(name) {
			continue
		}
		n, err := skipped(program)
		if err != nil {
			return sum, fmt.Errorf("read statistics of %s: %w", name, err)
		}
		sum += n
	}
	return sum, nil
}

func (o *owned) hasCopies(program string) bool {
	return slices.ContainsFunc(o.spares, func(spare *ebpf.Collection) bool { return spare.Programs[program] != nil })
}

// skipped returns how often the kernel skipped a program; 0 where it does not tell.
func skipped(program *ebpf.Program) (uint64, error) {
	stats, err := program.Stats()
	if errors.Is(err, ebpf.ErrNotSupported) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return stats.RecursionMisses, nil
}
