package bpf

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// tap is a set of programs of the object that are attached and detached as a unit: those of the
// socket calls, of the life of connections, or of the listing. Probes can have any number of taps,
// which all use the same maps.
//
// The programs are loaded when the probes are opened, while the process still has its privileges,
// and freed with the probes (owned.go). In between, a tap can be attached at any time, more than
// once, and detached again.
type tap struct {
	hooks      []hook   // attached in this order
	duplicates uint32   // how often each program is attached (preempt.go), at least once
	starts     []string // programs that are attached at most startDuplicates times
	// latestFirst attaches the duplicates in reverse, so that the first one runs first: it alone writes to
	// the per-CPU rings.
	latestFirst bool
	loaded      []*ebpf.Collection // the programs of each duplicate
}

// hook is a program and how it is attached.
type hook struct {
	program string
	attach  func(*ebpf.Program) (io.Closer, error)
}

// attached is a tap that is attached.
type attached struct {
	links []io.Closer
}

// load loads the programs of a tap. object has the sizes of the shared maps. The programs use these
// maps; only the map of constants is their own.
func (t *tap) load(object *ebpf.CollectionSpec, shared map[string]*ebpf.Map, types *btf.Cache) error {
	shared = maps.Clone(shared)
	delete(shared, constants)
	for duplicate := range t.duplicates {
		spec := withPrograms(object, func(name string) bool { return t.has(name, duplicate) })
		if err := setConstants(spec, map[string]any{observerVarDuplicates: t.duplicates, observerVarDuplicate: duplicate}); err != nil {
			return err
		}
		options := ebpf.CollectionOptions{MapReplacements: shared, Cache: types}
		loaded, err := ebpf.NewCollectionWithOptions(spec, options)
		if err != nil {
			return fmt.Errorf("load programs: %w", t.first(err, spec, options))
		}
		for _, m := range loaded.Maps {
			_ = m.Close() // a descriptor; the programs hold the maps themselves
		}
		t.loaded = append(t.loaded, loaded)
	}
	return nil
}

// first returns the error of the first program that cannot be loaded, in the order of the hooks, or
// err. The library loads programs in a random order, and the reason must not change with each run.
func (t *tap) first(err error, spec *ebpf.CollectionSpec, options ebpf.CollectionOptions) error {
	for _, h := range t.hooks {
		alone := withPrograms(spec, func(name string) bool { return name == h.program })
		loaded, fault := ebpf.NewCollectionWithOptions(alone, options)
		if fault != nil {
			return fault
		}
		loaded.Close()
	}
	return err
}

// taps are loaded and closed together.
type taps []*tap

func (ts taps) load(object *ebpf.CollectionSpec, shared map[string]*ebpf.Map, types *btf.Cache) error {
	for _, t := range ts {
		if err := t.load(object, shared, types); err != nil {
			return err
		}
	}
	return nil
}

func (ts taps) close() {
	for _, t := range ts {
		if t != nil { // of probes that could not be opened
			t.close()
		}
	}
}

// has reports whether a program is part of a duplicate.
func (t *tap) has(program string, duplicate uint32) bool {
	if duplicate >= startDuplicates && slices.Contains(t.starts, program) {
		return false
	}
	return slices.ContainsFunc(t.hooks, func(h hook) bool { return h.program == program })
}

// attach attaches all programs of a tap that is loaded. On an error none remains attached. Any
// goroutine that holds a share of owned may call it.
func (t *tap) attach() (*attached, error) {
	a := new(attached)
	for i := range t.loaded {
		duplicate := i
		if t.latestFirst {
			duplicate = len(t.loaded) - 1 - i
		}
		for _, h := range t.hooks {
			if !t.has(h.program, uint32(duplicate)) {
				continue
			}
			l, err := h.attach(t.loaded[duplicate].Programs[h.program])
			if err != nil {
				return nil, errors.Join(fmt.Errorf("attach %s: %w", h.program, err), a.detach())
			}
			a.links = append(a.links, l)
		}
	}
	return a, nil
}

// detach detaches the programs, the last one first. They remain loaded.
func (a *attached) detach() error {
	var errs []error
	for _, l := range slices.Backward(a.links) {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// missedCalls returns how many calls the return probes could not follow.
func (a *attached) missedCalls() uint64 {
	var sum uint64
	for _, l := range a.links {
		sum += missedCalls(l)
	}
	return sum
}

// missedRuns returns how often the kernel skipped a program because it was running already on that
// CPU. For programs with duplicates it returns 0, because the kernel does not say which calls were
// missed by all of them. Such a call leaves a gap in its stream.
func (t *tap) missedRuns() (uint64, error) {
	if t.duplicates > 1 {
		return 0, nil
	}
	var sum uint64
	for _, loaded := range t.loaded {
		for name, program := range loaded.Programs {
			n, err := skipped(program)
			if err != nil {
				return sum, fmt.Errorf("read statistics of %s: %w", name, err)
			}
			sum += n
		}
	}
	return sum, nil
}

// skipped returns how often the kernel skipped a program; 0 where the kernel does not count it.
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

// close frees the programs.
func (t *tap) close() {
	for _, loaded := range t.loaded {
		loaded.Close()
	}
}

// lifeTap returns the tap of the life of connections: they open, half-close and close.
func lifeTap() *tap {
	return &tap{hooks: lifeHooks, duplicates: lifeDuplicates()}
}

var lifeHooks = []hook{
	{observerProgConnectionState, attachTracing},
	{observerProgConnectionEnd, attachTracing},
}

// arrivalTap returns the tap of arrivals. Where the kernel skips its program, the arrival of some
// bytes is not known, and nothing else is lost: so it has no duplicates, and missedRuns does not
// count it.
func arrivalTap() taps { return taps{{hooks: arrivalHooks, duplicates: 1}} }

const arrivalTracepoint = "tcp_probe"

var arrivalHooks = []hook{{observerProgSegmentArrival, attachTracing}}

// listingTap returns the tap of the listing. Its programs are iterators, attached during a listing
// (list.go).
func listingTap() *tap {
	return &tap{hooks: listingHooks, duplicates: 1}
}

var listingHooks = []hook{
	{observerProgConnectionList, attachIterator},
	{observerProgConnectionListHeld, attachIterator},
}
