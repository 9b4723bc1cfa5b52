package bpf

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/rlimit"
)

// Options say what to observe and how. All are required.
type Options struct {
	RingSize                 uint32 // bytes, a power of two and a multiple of the page size
	MaxBytes                 uint32 // payload copied of one socket call
	FlushInterval            time.Duration
	ClientPorts, ServerPorts []uint16 // the ports of the remote end of clients, and of the local end of servers
}

// Probes are the attached programs of one backend and the ring that they write to.
// Next is for one goroutine; the other methods are safe for use by several.
type Probes struct {
	backend    string
	collection *ebpf.Collection
	spares     []*ebpf.Collection // the further copies of the backend's programs
	links      []io.Closer
	limits     []string
	// missedBefore is what return probes had missed when they were detached.
	missedBefore atomic.Uint64
	ring         *ring
	lanes        []byte // the memory of the lanes
	merge        *merge // of the ring and the lanes
	waiter       *waiter
	closed       atomic.Bool // nothing writes to the ring any more

	lock     sync.Mutex // of what is closed and freed, while Lost reads it
	released bool
}

// Open loads the programs of the backend with that name, attaches them and lists nothing yet.
// On an error nothing remains attached.
func Open(name string, options Options) (probes *Probes, err error) {
	i := slices.IndexFunc(backends, func(b backend) bool { return b.name == name })
	if i < 0 {
		return nil, fmt.Errorf("open backend %s: unknown", name)
	}
	b := &backends[i]
	if err := b.missing(); err != nil {
		return nil, fmt.Errorf("use backend %s: %w", name, explain(err))
	}
	p := &Probes{backend: name}
	defer func() {
		if err != nil {
			_ = p.Close()
			p.release()
			err = fmt.Errorf("use backend %s: %w", name, explain(err))
		}
	}()
	if err := p.load(b, options); err != nil {
		return nil, err
	}
	removeStaleEvents()
	for i, collection := range append([]*ebpf.Collection{p.collection}, p.spares...) {
		if err := p.attach(b.attachments(uint32(i)), collection); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Probes) attach(attachments []attachment, collection *ebpf.Collection) error {
	for _, a := range attachments {
		attached, err := a.attach(collection.Programs[a.program])
		if err != nil {
			return fmt.Errorf("attach %s: %w", a.program, err)
		}
		p.links = append(p.links, attached)
		if limited, ok := attached.(limitedLink); ok {
			p.limits = append(p.limits, limited.limit)
		}
	}
	return nil
}

func (p *Probes) load(b *backend, options Options) error {
	if err := ringBuffer(); errors.Is(err, errNoRingBuffer) {
		return err
	}
	// Before Linux 5.11 maps count against RLIMIT_MEMLOCK; later it is not needed and may not be allowed.
	if err := rlimit.RemoveMemlock(); err != nil && features.HaveMapType(ebpf.TaskStorage) != nil {
		return fmt.Errorf("raise RLIMIT_MEMLOCK: %w: %w", errMemlock, err)
	}
	if err := p.loadCopies(b, options); err != nil {
		return err
	}
	if err := p.SetPorts(options.ClientPorts, options.ServerPorts); err != nil {
		return err
	}
	events := p.collection.Maps[observerMapEvents]
	var err error
	if p.ring, err = openRing(events); err != nil {
		return err
	}
	var lanes []lane
	if lanes, p.lanes, err = mapLanes(p.collection.Maps[observerMapLanes]); err != nil {
		return err
	}
	p.merge = newMerge(p.ring, lanes)
	p.waiter, err = openWaiter(events, p.collection.Variables[observerVarConsumerState], options.FlushInterval)
	return err
}

// loadCopies loads the programs as often as this kernel needs them. All copies share the maps of the first, but for their constants.
func (p *Probes) loadCopies(b *backend, options Options) error {
	own, life := b.copies()
	for copy := range max(own, life) {
		spec, err := b.spec(options, copy)
		if err != nil {
			return err
		}
		shared := make(map[string]*ebpf.Map)
		if copy > 0 {
			shared = maps.Clone(p.collection.Maps)
			delete(shared, constants)
		}
		collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
		if err != nil {
			return fmt.Errorf("load programs: %w", err)
		}
		if copy == 0 {
			p.collection = collection
		} else {
			p.spares = append(p.spares, collection)
		}
	}
	return nil
}

// constants is the map of the variables that are set before loading.
const constants = ".rodata"

// spec returns the programs of one copy, made for this kernel.
func (b *backend) spec(options Options, copy uint32) (*ebpf.CollectionSpec, error) {
	spec, err := loadObserver()
	if err != nil {
		return nil, fmt.Errorf("read programs: %w", err)
	}
	b.prune(spec, copy)
	spec.Maps[observerMapEvents].MaxEntries = options.RingSize
	own, _ := b.copies()
	spec.Maps[observerMapScratches].MaxEntries *= own
	if features.HaveMapType(ebpf.TaskStorage) != nil {
		// No program reaches it then (current_calls), but it must exist for the programs to load.
		spec.Maps[observerMapCalls] = spec.Maps[observerMapCallsByThread].Copy()
	} else {
		spec.Maps[observerMapCallsByThread].MaxEntries = 1
	}
	lanes, laneSize, err := lanesHere(options.RingSize)
	if err != nil {
		return nil, err
	}
	spec.Maps[observerMapLanes].MaxEntries = lanes
	spec.Maps[observerMapLanes].ValueSize = laneBytes(laneSize)
	recvmsg, err := kernelFunction("tcp_recvmsg")
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]any{
		observerVarRecvmsgParameters: uint32(len(recvmsg.Params)),
		observerVarMaxBytes:          options.MaxBytes,
		observerVarFillMark:          uint64(options.RingSize / 4),
		observerVarLaneSize:          uint64(laneSize),
		observerVarCopies:            own,
		observerVarCopy:              copy,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	return spec, nil
}

// Backend returns the name of the backend.
func (p *Probes) Backend() string { return p.backend }

// Limits says in what the programs can do less than they should, for lack of something that the error would name.
func (p *Probes) Limits() []string { return p.limits }

// SetPorts replaces the observed ports, without detaching.
func (p *Probes) SetPorts(client, server []uint16) error {
	for name, ports := range map[string][]uint16{observerVarClientPorts: client, observerVarServerPorts: server} {
		var bits [8192]uint8
		for _, port := range ports {
			bits[port>>3] |= 1 << (port & 7)
		}
		if err := p.collection.Variables[name].Set(bits); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// Next returns the next event and its payload; both are valid until the next call. A nil event says that there is none:
// Wait before the next call. After Close, and when all events are read, the error is os.ErrClosed.
func (p *Probes) Next() (*Event, []byte, error) {
	closed := p.closed.Load() // before looking for events: afterwards there may be new ones
	event, payload := p.merge.next()
	if event == nil && closed && !p.merge.stuck {
		return nil, nil, os.ErrClosed
	}
	return event, payload, nil
}

// Wait returns when there may be events, after a flush interval at the latest while there were any lately (busy), and
// after a second otherwise.
func (p *Probes) Wait(busy bool) error {
	if p.closed.Load() {
		return nil
	}
	return p.waiter.wait(busy)
}

// Wake ends the current or the next Wait.
func (p *Probes) Wake() { p.waiter.interrupt() }

// Position returns the position in the ring up to which Next has read; Produced the one up to which probes have written.
func (p *Probes) Position() uint64 { return p.ring.position }

// Produced returns the position in the ring behind the newest event. See Position.
func (p *Probes) Produced() uint64 { return p.ring.end() }

// Lost returns what the probes lost since they were loaded, by reason.
func (p *Probes) Lost() (map[string]uint64, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.released {
		return nil, fmt.Errorf("read lost events: %w", os.ErrClosed)
	}
	lost := make(map[string]uint64)
	for kind, reason := range map[observerLoss]string{
		observerLossLOST_RING_FULL:  "ring_full",
		observerLossLOST_NO_STORAGE: "no_storage",
	} {
		var perCPU []uint64
		if err := p.collection.Maps[observerMapLost].Lookup(uint32(kind), &perCPU); err != nil {
			return nil, fmt.Errorf("read lost events: %w", err)
		}
		lost[reason] = 0
		for _, n := range perCPU {
			lost[reason] += n
		}
	}
	missed, err := p.missed()
	lost["missed_run"] = missed
	return lost, err
}

// missed returns how often the kernel skipped a program because it was running already on that processor, or because a
// return probe followed too many calls. Of a program that has copies nobody can tell which calls all of them missed, but
// by the gap that such a call leaves in its stream.
func (p *Probes) missed() (uint64, error) {
	var sum uint64
	for name, program := range p.collection.Programs {
		if p.hasCopies(name) {
			continue
		}
		n, err := skipped(program)
		if err != nil {
			return sum, fmt.Errorf("read statistics of %s: %w", name, err)
		}
		sum += n
	}
	sum += p.missedBefore.Load()
	if !p.closed.Load() {
		for _, attached := range p.links {
			sum += missedCalls(attached)
		}
	}
	return sum, nil
}

func (p *Probes) hasCopies(program string) bool {
	return slices.ContainsFunc(p.spares, func(spare *ebpf.Collection) bool { return spare.Programs[program] != nil })
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

// Close detaches the programs. What is in the ring can still be read; release what remains with Release.
func (p *Probes) Close() error {
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.closed.Load() {
		return nil
	}
	var errs []error
	for _, l := range slices.Backward(p.links) {
		p.missedBefore.Add(missedCalls(l))
		errs = append(errs, l.Close())
	}
	// Not before: Next must not find the ring empty for good while probes still write.
	p.closed.Store(true)
	if p.waiter != nil {
		p.waiter.interrupt()
	}
	return errors.Join(errs...)
}

// Release frees everything, after Close and when no other method is running.
func (p *Probes) Release() { p.release() }

func (p *Probes) release() {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.released = true
	if p.ring != nil {
		_ = p.ring.close()
	}
	if p.lanes != nil {
		_ = unix.Munmap(p.lanes)
	}
	if p.waiter != nil {
		_ = p.waiter.close()
	}
	for _, spare := range p.spares {
		spare.Close()
	}
	if p.collection != nil {
		p.collection.Close()
	}
}
